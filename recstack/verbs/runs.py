"""`recstack runs`: the registry of training runs."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from rich.table import Table

from recstack.arguments import StackArguments, parse
from recstack.console import Voice
from recstack.retraining.registry import RegisteredRun, registered_runs

_MOST_METRICS = 2
_SHOWN_OF_FINGERPRINT = 8
_TO_THE_MINUTE = len("2026-11-29 03:00")


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
    """A row a run that fits 80 columns."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("run", no_wrap=True)
    for name in ("data", "metrics", "state"):
        table.add_column(name, overflow="fold")
    for run in runs:
        table.add_row(
            f"{run.id}\n{run.trained.removesuffix('+00:00').replace('T', ' ')[:_TO_THE_MINUTE]}",
            "\n".join(_data(run)),
            "\n".join(_metrics(run)),
            "\n".join(_state(run)),
            end_section=True,
        )
        table.add_row()
    return table


def _data(run: RegisteredRun) -> Iterator[str]:
    """Dataset, events, window and version of the code."""
    yield run.dataset[:_SHOWN_OF_FINGERPRINT]
    if "events_train" in run.counts:
        yield f"{run.counts['events_train']:,} events"
    first, last = run.window
    if first or last:
        yield f"{first or 'first'} to"
        yield last or "last"
    yield f"recstack {run.code}"


def _metrics(run: RegisteredRun) -> Iterator[str]:
    """The first metrics of each stage: those of the evaluation, before one those of validation."""
    for name, stage in run.stages.items():
        source, metrics = ("test", stage.evaluation) if stage.evaluation else ("validation", stage.validation)
        yield f"{name} ({source})"
        yield from (f" {metric} {value:.4f}" for metric, value in list(metrics.items())[:_MOST_METRICS])


def _state(run: RegisteredRun) -> Iterator[str]:
    if run.is_current:
        yield "current"
    yield from (f"serves {model}" for model in run.serves)
    yield from (f"canary of {model}" for model in run.canary)
    if run.gate:
        yield run.gate
