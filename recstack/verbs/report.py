"""`recstack report`: one page about a training run."""

from dataclasses import dataclass

import tyro

from recstack.arguments import StackArguments, parse
from recstack.console import Voice
from recstack.retraining.record import read_records
from recstack.retraining.registry import find_run


@dataclass(frozen=True, kw_only=True)
class ReportArguments(StackArguments):
    """Writes one HTML page about a run: changes, drift, learning curves, metrics, the gate and sample users."""

    run: tyro.conf.Positional[str] = "current"
    """Id of a run or its beginning, as `recstack runs` lists them, or `current`."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(ReportArguments, "report", arguments)
    report(parsed, Voice("report", as_json=parsed.json))
    return 0


def report(arguments: ReportArguments, voice: Voice) -> None:
    """Writes the page and says where it is.

    Raises:
        InputError: there is no such run, or the record of a retraining is damaged.
    """
    from recstack.retraining.run_details import write_run_report  # TensorFlow reads the learning curves

    workdir = arguments.stack.layout
    run = find_run(workdir, arguments.run)
    record = next((record for record in read_records(workdir.retrainings) if record.run == run.id), None)
    path = write_run_report(workdir, run, record)
    voice.result(
        f"run {run.id}: {path}", {"run": run.id, "retraining": record.id if record else "", "report": str(path)}
    )
