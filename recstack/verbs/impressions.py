"""`recstack impressions`: a server's request log to Parquet tables that the next preparation can read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from recstack.console import Voice


@dataclass(frozen=True, kw_only=True)
class ImpressionsArguments:
    """Writes what a server answered as Parquet, one file for each finished file of its request log."""

    log: Path
    """The server's --request_log_directory."""
    output: Path
    """Directory for the Parquet files; those that are there already are left alone."""
    json: bool = False
    """Print the result as one JSON object."""


def main(arguments: Sequence[str]) -> int:
    """Runs the verb; returns its exit code."""
    from beam_pipelines.impressions import write_impressions

    parsed = tyro.cli(ImpressionsArguments, prog="recstack impressions", args=list(arguments))
    written, rows = write_impressions(parsed.log, parsed.output)
    Voice("impressions", as_json=parsed.json).result(
        f"{rows:,} answered items in {len(written)} new files below {parsed.output}",
        {"output": str(parsed.output), "files": len(written), "rows": rows},
    )
    return 0
