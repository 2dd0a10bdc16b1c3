"""What a proposal says to a person."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from beam_pipelines.passes.typed_columns import LATEST_SECOND
from recstack.init.log import Log
from recstack.init.proposal import FeatureChoice, LeftOut
from recstack.init.propose import Proposal


@dataclass(frozen=True, kw_only=True)
class ColumnUse:
    """A column and what it is taken for."""

    table: str
    """Which table."""
    column: str
    """Its own name."""
    kind: str
    """What its values are."""
    distinct: int
    """Different values."""
    missing: float
    """Share of rows without a value."""
    taken_for: str
    """Role, kind of feature, or nothing."""
    why: str
    """The reason."""


def column_uses(proposal: Proposal) -> Iterator[ColumnUse]:
    """Every column of every table, in the order of the files."""
    uses: dict[tuple[str, str], tuple[str, str]] = {}
    for choice in proposal.columns:
        uses[choice.table, choice.column] = _use_of(choice)
    roles = proposal.roles
    for name, role in (("user_id", roles.user), ("item_id", roles.item)):
        uses["interactions", role.column.name] = (name, role.why)
    if roles.time.column is not None:
        uses["interactions", roles.time.column.name] = ("timestamp", roles.time.why)
    for setting in proposal.settings:
        if setting.path in ("pipeline.label.rating_column", "pipeline.label.event_type_column"):
            uses["interactions", setting.value] = ("label" if setting.active else "(label)", setting.why)
    keys = {
        setting.table.removeprefix("pipeline."): setting.value
        for setting in proposal.settings
        if setting.name == "columns"
    }
    for table in proposal.tables:
        for column in table.columns:
            key = {"items": "item_id", "users": "user_id"}.get(table.name, "")
            is_key = bool(key) and keys.get(table.name, {}).get(key, key) == column.name
            # What follows from the item may stand in the interactions.
            use = uses.get((table.name, column.name)) or uses.get(("items", column.name), ("", ""))
            taken_for, why = (key, "") if is_key else use
            yield ColumnUse(
                table=table.name,
                column=column.name,
                kind=column.kind,
                distinct=column.distinct,
                missing=column.missing,
                taken_for=taken_for,
                why=why,
            )


def _use_of(choice: FeatureChoice | LeftOut) -> tuple[str, str]:
    if isinstance(choice, LeftOut):
        return "not used", choice.why
    return (choice.feature.kind if choice.active else f"({choice.feature.kind})"), choice.why


def facts(log: Log) -> Iterator[tuple[str, str]]:
    """The log in numbers."""
    part = "" if log.share == 1 else f" ({log.share:.0%} of the table, spread evenly, was looked at)"
    yield "events", f"{log.total:,}{part}"
    yield "users", f"{log.num_users:,}, half with at least {log.events_a_user(0.5):,.0f} events"
    yield "items", f"{log.num_items:,}"
    yield "density", f"{log.density:.3%} of all pairs of a user and an item"
    if log.is_order or log.seconds.max() >= LATEST_SECOND:
        yield "time", f"an order only, {log.num_moments:,} places"
    else:
        first, last = (datetime.fromtimestamp(int(s), UTC) for s in (log.seconds.min(), log.seconds.max()))
        yield "time", f"{first:%Y-%m-%d} to {last:%Y-%m-%d}, {log.days:,.0f} days"
    yield "together", f"{log.shared_moments:.0%} of the events share their moment with another of the user"
