"""Rows that `prepare` will refuse, counted before it does, and the limit that lets it go on without them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import PipelineConfig
from beam_pipelines.profile.raw_table import ColumnProfile, TableProfile
from recstack.init.labels import Labels
from recstack.init.proposal import Setting
from recstack.init.roles import Choice, Roles

# Of a table of which a part was looked at, the rest may be a little worse.
_MARGIN = 0.02


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """Of one table."""

    path: str
    """The table."""
    refused: int
    """Rows that will be refused."""
    total: int
    """Rows that were looked at."""
    reasons: tuple[str, ...]
    """How many for which reason; a row may have several."""

    @property
    def share(self) -> float:
        """Of the rows."""
        return self.refused / max(self.total, 1)

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.path}: {self.refused:,} of {self.total:,} rows will be refused: {', '.join(self.reasons)}"


def refusals_of_log(events: TableProfile, roles: Roles, labels: Labels) -> Refusals:
    """Rows of the interactions without a user, an item, a time, a rating or a kind of event."""
    absent = {
        f"have no user in {roles.user.column.name}": _absent_ids(roles.user.column, events),
        f"have no item in {roles.item.column.name}": _absent_ids(roles.item.column, events),
        "have no time that can be read": roles.time.seconds(events.num_rows).is_null(),
    }
    for name in sorted(labels.read):
        absent[f"have no value in {name}"] = events.column(name).values.is_null()
    return _refusals(events, absent)


def refusals_of_table(table: TableProfile, key: Choice) -> Refusals:
    """Rows of the items or users table without an id."""
    return _refusals(table, {f"have no id in {key.column.name}": _absent_ids(key.column, table)})


def choose_limit(refusals: Mapping[str, Refusals]) -> Iterator[Setting]:
    """`pipeline.max_reject_ratio`, if a table has more to be refused than the default allows."""
    worst = max(refusals.values(), key=lambda one: one.share)
    if worst.share > PipelineConfig().max_reject_ratio:
        limit = min(1.0, math.ceil(100 * (worst.share + _MARGIN)) / 100)
        why = f"{worst}; with the default of {PipelineConfig().max_reject_ratio:g} `prepare` would stop"
        yield Setting(table="pipeline", name="max_reject_ratio", value=limit, why=why)


def _absent_ids(column: ColumnProfile, table: TableProfile) -> pa.BooleanArray:
    return column.ids(table.source).is_null()


def _refusals(table: TableProfile, absent: Mapping[str, pa.BooleanArray]) -> Refusals:
    counts = {reason: int(pc.sum(mask).as_py() or 0) for reason, mask in absent.items()}
    counts["are lines that are no rows"] = table.num_refused
    either = pa.array([False] * table.num_rows)
    for mask in absent.values():
        either = pc.or_(either, mask)
    return Refusals(
        path=table.path,
        refused=int(pc.sum(either).as_py() or 0) + table.num_refused,
        total=table.num_rows + table.num_refused,
        reasons=tuple(f"{count:,} {reason}" for reason, count in counts.items() if count),
    )
