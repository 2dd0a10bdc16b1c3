"""`recstack runs`: the registry of training runs."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from rich.table import Table

from recstack.arguments import StackArguments, parse
from recstack.console import Voice
from recstack.retraining.registry import RegisteredRun, registered_runs

_MOST_METRICS = 2


@dataclass(frozen=True, kw_only=True)
class RunsArguments(StackArguments):
    """Lists the training runs: data, window, code, metrics, and which of them is served."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(RunsArguments, "runs", arguments)
    show_runs(parsed, Voice("runs", as_json=parsed.json))
    return 0


def show_runs(arguments: RunsArguments, voice: Voice) -> list[RegisteredRun]:
    """Shows the registry; returns its runs, the newest first.

    Raises:
        InputError: a manifest is damaged.
    """
    workdir = arguments.stack.layout
    runs = registered_runs(workdir)
    if runs:
        voice.show(_table(runs))
    counted = f"{len(runs)} run{'' if len(runs) == 1 else 's'}" if runs else "no finished run; run `recstack train`"
    voice.result(f"{counted}: {workdir.runs.root}", {"runs": [asdict(run) for run in runs]})
    return runs


def _table(runs: list[RegisteredRun]) -> Table:
    table = Table("run", "trained (UTC)", "dataset", "window", "train events", "code", "metrics", "state")
    for run in runs:
        table.add_row(
            run.id,
            run.trained.removesuffix("+00:00").replace("T", " "),
            run.dataset,
            _window(run),
            f"{run.counts['events_train']:,}" if "events_train" in run.counts else "",
            run.code,
            "\n".join(_metrics(run)),
            _state(run),
        )
    return table


def _window(run: RegisteredRun) -> str:
    first, last = run.window
    return f"{first or 'first'} to {last or 'last'}" if first or last else "all"


def _metrics(run: RegisteredRun) -> Iterator[str]:
    """The first metrics of each stage: those of the evaluation, before one those of validation."""
    for name, stage in run.stages.items():
        source, metrics = ("test", stage.evaluation) if stage.evaluation else ("validation", stage.validation)
        shown = ", ".join(f"{metric} {value:.4f}" for metric, value in list(metrics.items())[:_MOST_METRICS])
        yield f"{name} ({source}): {shown}" if shown else name


def _state(run: RegisteredRun) -> str:
    served = [f"serves {', '.join(run.serves)}"] if run.serves else []
    gate = [run.gate] if run.gate else []
    return "\n".join((["current"] if run.is_current else []) + served + gate)
