"""Reports of the first pass, and the limit on the share of rejected rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from beam_pipelines.config.source import TableName
from beam_pipelines.passes.time_checks import TimeSummary
from beam_pipelines.sources.tables import Table
from features.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A file of validated rows, ordered by bucket."""

    path: str
    """The Arrow file."""
    bucket_rows: tuple[int, ...]
    """Rows of each of the `NUM_BUCKETS` buckets."""


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """Report of one ingest task."""

    table: TableName
    """The table."""
    rows: int
    """Rows read, including the rejected ones."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Rejected rows by reason."""
    example: str = ""
    """The first rejected row, for the error message."""
    continuation_lines: int = 0
    """Lines of text files that continue a row which began on an earlier line."""
    times: TimeSummary = TimeSummary()
    """Of the good rows of the interactions."""
    ratings: Mapping[str, int] = field(default_factory=dict)
    """How often each rating occurs; empty where there are none, or too many for a scale."""
    chunks: tuple[Chunk, ...] = ()
    """Files of the valid rows."""


def check_rejects(reports: Sequence[IngestReport], tables: Sequence[Table], max_reject_ratio: float) -> dict[str, int]:
    """Counts the rows that were read and refused.

    Returns:
        `<table>_read`, `<table>_rejected`, `rejected: <table>: <reason>`, and `<table>_continuation_lines` where a row
        of a text file goes over several lines.

    Raises:
        InputError: a table has no rows, or too many of them were refused.
    """
    counts: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for table in tables:
        mine = [report for report in reports if report.table == table.name]
        rejected: Counter[str] = Counter()
        for report in mine:
            rejected.update(report.rejected)
        total = sum(report.rows for report in mine)
        if total == 0:
            raise InputError(f"table {table.name}: the files hold no rows; check what wrote them")
        _require_few(table, rejected, total, max_reject_ratio, example=next((r.example for r in mine if r.example), ""))
        counts |= {f"{table.name}_read": total, f"{table.name}_rejected": rejected.total()}
        if continued := sum(report.continuation_lines for report in mine):
            counts[f"{table.name}_continuation_lines"] = continued
        reasons |= {f"rejected: {table.name}: {reason}": n for reason, n in sorted(rejected.items())}
    return counts | reasons


def _require_few(table: Table, rejected: Counter[str], total: int, max_reject_ratio: float, *, example: str) -> None:
    refused = rejected.total()
    if refused <= max_reject_ratio * total and refused < total:
        return
    worst = ", ".join(f"{reason} ({n:,} rows)" for reason, n in rejected.most_common(3))
    raise InputError(
        f"table {table.name}: {refused:,} of {total:,} rows are rejected, more than pipeline.max_reject_ratio = "
        f"{max_reject_ratio:g}: {worst}; the first is {example}; mend the table, its columns or formats "
        "in the configuration, or raise the ratio"
    )
