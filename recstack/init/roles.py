"""Which columns of the interactions say who, what and when."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.profile.raw_table import ColumnProfile, TableProfile
from beam_pipelines.sources.time_formats import TimeFormat, guess_time_format
from features.errors import InputError
from recstack.init import names

# Fewer different values are groups of users or items, not these themselves.
_FEWEST_IDS = 10
_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A column in its role."""

    column: ColumnProfile
    """The column."""
    why: str
    """What spoke for it."""


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The columns that every event has."""

    user: Choice
    """Who."""
    item: Choice
    """What."""
    time: Choice
    """When."""
    time_format: TimeFormat
    """How the times are written."""

    @property
    def names(self) -> frozenset[str]:
        """The columns with a role."""
        return frozenset(choice.column.name for choice in (self.user, self.item, self.time))


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the caller knows; empty where it is to be guessed."""

    user: str = ""
    """Column of the interactions with the user."""
    item: str = ""
    """Column of the interactions with the item."""
    time: str = ""
    """Column of the interactions with the time."""


def find_roles(events: TableProfile, others: Mapping[str, TableProfile], given: Given) -> Roles:
    """Finds who, what and when.

    Args:
        events: the interactions.
        others: the tables `items` and `users`, as far as they are there.
        given: what need not be guessed.

    Raises:
        InputError: a column that is given is missing, or a role has no column that could fill it.
    """
    time, time_format = _find_time(events, given)
    left = [column for column in events.columns if column.name != time.column.name]
    user = _given(events, given.user) or _find_id(left, "user", names.USER, others.get("users"))
    item = _given(events, given.item) or _find_id(left, "item", names.ITEM, others.get("items"))
    if user is None or item is None:
        rest = [
            c for c in _identifiers(left) if c.name not in {chosen.column.name for chosen in (user, item) if chosen}
        ]
        unknown = [role for role, chosen in (("user", user), ("item", item)) if chosen is None]
        if len(rest) < len(unknown) or (len(unknown) == 1 and names.words(rest[0].name)[0] in names.USER | names.ITEM):
            raise _no_column(events, f"could be the {unknown[0]}", f"name one by --{unknown[0]}-id")
        # Nothing in the names: the columns with most values, users first, as nearly all tables have it.
        most = sorted(rest, key=lambda column: -column.distinct)[: len(unknown)]
        guessed = [column for column in rest if column in most]
        why = "no name tells, so the identifiers with most values are taken, the user's first; check it"
        user = user or Choice(column=guessed.pop(0), why=why)
        item = item or Choice(column=guessed.pop(0), why=why)
    return Roles(user=user, item=item, time=time, time_format=time_format)


def find_key(table: TableProfile, ids: pa.Array, role: frozenset[str]) -> Choice:
    """The column of the items or users table that holds the ids of the interactions.

    Raises:
        InputError: no column does.
    """
    known = _texts(ids).unique()
    shares = {column.name: _overlap(known, column) for column in _keys(table)}
    best = max(shares, key=lambda name: (shares[name] > 0.5, names.role_score(name, role), shares[name]), default="")
    if not best or (shares[best] == 0 and names.role_score(best, role) < 1):
        raise _no_column(table, "holds the ids of the interactions", "add one")
    return Choice(column=table.column(best), why=f"holds {shares[best]:.0%} of the ids of the interactions")


def _given(events: TableProfile, name: str) -> Choice | None:
    return Choice(column=events.column(name), why="given on the command line") if name else None


def _find_time(events: TableProfile, given: Given) -> tuple[Choice, TimeFormat]:
    scored = []
    for column in [events.column(given.time)] if given.time else events.columns:
        found = guess_time_format(column.values)
        if found is None or column.name in (given.user, given.item):
            continue
        score = _time_score(column, found)
        if given.time or score > 0:
            scored.append((score, column, found))
    if not scored:
        raise _no_column(
            events,
            "could be the time of the event (its position in the user's list will do)",
            "name one by --timestamp",
        )
    score, column, found = max(scored, key=lambda entry: entry[0])
    how = f"reads as {found.name}" if found.name else f"is of type {column.values.type}"
    if found.is_order:
        how = "holds small whole numbers: an order, not a time of day"
    why = "given on the command line" if given.time else f"named so, and {how}" if score > 2 else how
    if found.alternative:
        why += f"; {found.alternative} would read it too: check it"
    return Choice(column=column, why=why), found


def _time_score(column: ColumnProfile, found: TimeFormat) -> float:
    named = set(names.words(column.name))
    score = 3.0 * bool(named & names.TIME) - 2.0 * bool(named & names.LATER_TIME)
    if "timestamp" in named:
        score += 1
    if named & (names.USER | names.ITEM) and named & names.IDENTIFIER:
        return 0.0
    if found.is_order:
        # Any small whole numbers could be an order; only the name tells.
        return score if named & names.TIME else 0.0
    return score + (1.0 if column.kind == "integer" else 1.5)


def _identifiers(columns: list[ColumnProfile]) -> list[ColumnProfile]:
    """Columns whose values come again and are many: neither row numbers nor groups."""
    return [
        column
        for column in columns
        if column.kind in ("integer", "text")
        and _FEWEST_IDS <= column.distinct < 0.9 * len(column.values)
        and not set(names.words(column.name)) & names.OTHER_IDENTIFIER
    ]


def _find_id(
    columns: list[ColumnProfile], role: str, role_names: frozenset[str], table: TableProfile | None
) -> Choice | None:
    best, why = 0.9, ""
    chosen = None
    for column in columns:
        if column.kind not in ("integer", "text") or column.distinct < 2:
            continue
        score = names.role_score(column.name, role_names)
        reason = f"named like the {role}"
        if set(names.words(column.name)) & names.OTHER_IDENTIFIER:
            score -= 1.5
        if table is not None and column in _identifiers(columns):
            share = max((_overlap(_texts(column.values).unique(), c) for c in _keys(table)), default=0.0)
            if share > 0.5:
                score += 4 * share
                reason = f"{share:.0%} of its values are in the {role}s table"
        if score > best:
            best, chosen, why = score, column, reason
    return Choice(column=chosen, why=why) if chosen is not None else None


def _keys(table: TableProfile) -> list[ColumnProfile]:
    return [c for c in table.columns if c.kind in ("integer", "text") and c.distinct > 0.5 * table.num_rows]


def _overlap(ids: pa.Array, column: ColumnProfile) -> float:
    """Share of the ids that occur in the column."""
    present = ids.drop_null()
    if len(present) == 0:
        return 0.0
    return float(pc.mean(pc.is_in(present, _texts(column.values).unique())).as_py())


def _texts(values: pa.Array) -> pa.Array:
    return pc.cast(values, pa.string())


def _no_column(table: TableProfile, role: str, option: str) -> InputError:
    known = ", ".join(repr(column.name) for column in table.columns[:_SHOWN])
    more = f" and {len(table.columns) - _SHOWN} more" if len(table.columns) > _SHOWN else ""
    return InputError(f"{table.path}: no column {role}; the columns are {known}{more}; {option}")
