"""Columns to features: which are used, which could be, which are not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pipelines.profile.raw_table import ColumnProfile, TableProfile
from features.schema import FILTER_SUFFIXES, RESERVED_NAMES
from features.spec.base import ColumnFeature
from features.spec.history import HistoryEventTypesFeature, HistoryFeature, HistoryTimesFeature
from features.spec.ids import IdFeature
from features.spec.time import TimePart, TimestampFeature
from recstack.init import names
from recstack.init.columns import encode_column
from recstack.init.earlier import lists_items
from recstack.init.labels import Labels
from recstack.init.log import Log
from recstack.init.proposal import FeatureChoice, LeftOut
from recstack.init.roles import Choice, Roles

_MOST_FEATURES = 20
_NAMED_KINDS = 3
_SAME = 0.99
_RARE = 1_000_000
_ROW_NUMBERS = 0.95
_FEW = 6
# On Online Retail, two years of a shop, they are worth more than the seeds' spread (docs/tuning.md).
_SEASONS: tuple[TimePart, ...] = ("day_of_week", "month")

_Integers = npt.NDArray[np.int64]
Chosen = Iterator[FeatureChoice | LeftOut]


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The tables and the columns with a role in them."""

    events: TableProfile
    """The interactions."""
    items: TableProfile | None
    """What is known of the items."""
    users: TableProfile | None
    """What is known of the users."""
    roles: Roles
    """Of the interactions."""
    item_key: Choice | None
    """Column of the items table."""
    user_key: Choice | None
    """Column of the users table."""
    labels: Labels
    """What the labels are made of."""
    earlier_items: str = ""
    """Column of the interactions whose lists of items become events; empty: none."""


def choose_features(
    tables: Tables, log: Log, examples: str, history_length: int, *, ranks_lists: bool
) -> list[FeatureChoice | LeftOut]:
    """Goes through all columns; names are made unique.

    Args:
        tables: what is read.
        log: the events.
        examples: what one example of the training is, `retrieval.examples`.
        history_length: most items of a history.
        ranks_lists: whether the list ranker is proposed.
    """
    found: list[FeatureChoice | LeftOut] = list(_of_user(tables.roles, log))
    length = f"90 % of the users have at most {log.taken.events_a_user(0.9):,.0f} events"
    found.append(FeatureChoice(table="", column="", feature=HistoryFeature(length=history_length), why=length))
    has_gaps, repeats = not log.is_order and examples != "set", log.taken.recommends_again(examples)
    found += _of_history(tables.labels, has_gaps=has_gaps, repeats=repeats)
    if has_gaps and repeats and (ranks_lists or log.tells_seasons):
        found.append(_of_request(log))
    found += _of_events(tables, log)
    if tables.users is not None and tables.user_key is not None:
        found += _of_users(tables.users, tables.user_key)
    found.append(
        FeatureChoice(
            table="interactions",
            column=tables.roles.item.column.name,
            feature=IdFeature(name="item_id"),
            why=f"{log.num_items:,} items; {tables.roles.item.why}",
        )
    )
    found += _of_items(tables, log)
    return _unique_names(_at_most(found))


def _of_user(roles: Roles, log: Log) -> Chosen:
    least = 1
    counts = np.bincount(log.users)
    while (counts >= least).sum() / log.share > _RARE:
        least += 1
    why = f"{log.num_users:,} users, half of them with at least {log.events_a_user(0.5):,.0f} events; {roles.user.why}"
    if least > 1:
        why += f"; users with fewer than {least} events share a vector"
    why += (
        "; the id only looks up the user's history: an embedding of its own memorises, which cost 12 to 20 % of recall "
        "and NDCG on two logs; `embedding = true` to try it"
    )
    feature = IdFeature(name="user_id", min_count=least, embedding=False)
    yield FeatureChoice(table="interactions", column=roles.user.column.name, feature=feature, why=why)


def _of_history(labels: Labels, *, has_gaps: bool, repeats: bool) -> Chosen:
    """What is told of each event of the history beside its item."""
    if len(labels.positive_kinds) > 1:
        why = f"whether an item of the history was a {' or a '.join(labels.positive_kinds[:_NAMED_KINDS])}"
        yield FeatureChoice(table="", column="", feature=HistoryEventTypesFeature(), why=why)
    if has_gaps:
        why = "the time between the events of the history; worth a try where pauses tell something"
        if repeats:
            why = "when the events of the history were, for `retrieval.repeat` and for the list ranker"
        yield FeatureChoice(table="", column="", feature=HistoryTimesFeature(), why=why, active=repeats)


def _of_request(log: Log) -> FeatureChoice:
    """The time of a request: which month it is, and how long ago the history was.

    A comment where the months tell nothing: on one log of purchases a list ranker that knew the time was hardly better,
    and it was certainly worse than one without where requests did not name it.
    """
    if log.tells_seasons:
        why = (
            "the time of the request: the log covers more than a year, so the models learn what each month and day of "
            "the week sell, and the list ranker counts the days since earlier events; send it with every request"
        )
    else:
        why = (
            "the time of the request, from which the list ranker counts the days since earlier events, else from the "
            "user's newest event; only if every request sends it, since the list ranker ranks worse where it is "
            "trained with it and not told. `parts` would let the other models learn from the calendar, such as "
            '`["month"]`'
        )
    feature = TimestampFeature(name="timestamp", parts=_SEASONS if log.tells_seasons else ())
    return FeatureChoice(table="", column="", feature=feature, why=why, active=log.tells_seasons)


def _of_events(tables: Tables, log: Log) -> Chosen:
    for column in tables.events.columns:
        if column.name in tables.roles.names | tables.labels.columns:
            continue
        if why := _no_context(column, tables):
            yield LeftOut(table="interactions", column=column.name, why=why)
            continue
        if _constant(column, log.items, log.rows):
            if tables.items is not None:
                why = "follows from the item: a column of the items table, if it tells something"
                yield LeftOut(table="interactions", column=column.name, why=why)
            continue
        follows_user = _constant(column, log.users, log.rows)
        seen = _of_each(column, log.users, log.rows) if follows_user else column
        encoding = encode_column(seen, names.identifier(column.name), of_items=False)
        if encoding.feature is None:
            yield LeftOut(table="interactions", column=column.name, why=encoding.why)
        elif follows_user:
            why = f"{encoding.why}; the same in all events of a user"
            yield FeatureChoice(table="interactions", column=column.name, feature=encoding.feature, why=why)
        elif set(names.words(column.name)) & names.CONTEXT or names.role_score(column.name, names.USER):
            why = f"{encoding.why}; known when the request comes, by its name"
            yield FeatureChoice(table="interactions", column=column.name, feature=encoding.feature, why=why)
        else:
            why = f"{encoding.why}{_values(column)}; use it only if a request can send it: it may be known only after "
            why += "the event"
            if column.kind == "text" and column.distinct <= _FEW and not tables.labels.columns:
                why += "; if it tells kinds of events, name it in `pipeline.label.event_type_column`"
            yield FeatureChoice(
                table="interactions", column=column.name, feature=encoding.feature, why=why, active=False
            )


def _values(column: ColumnProfile) -> str:
    if column.kind != "text" or column.distinct > _FEW:
        return ""
    return f" ({', '.join(map(str, column.values.drop_null().unique().to_pylist()))})"


def _no_context(column: ColumnProfile, tables: Tables) -> str:
    """Why a column of the events can be no feature of theirs; empty where it can."""
    if column.name == tables.earlier_items:
        return "its items become earlier events (`earlier_items`)"
    if lists_items(column, tables.roles.item.column):
        return "lists items without times: histories are made of the events"
    if _is_other_identifier(column):
        return "it identifies something else"
    if column.kind == "integer" and column.distinct > _ROW_NUMBERS * tables.events.num_rows:
        return "it numbers the rows"
    return "vectors describe items and users only" if column.kind == "vector" else ""


def _of_users(users: TableProfile, key: Choice) -> Chosen:
    for column in users.columns:
        if column.name == key.column.name:
            continue
        encoding = encode_column(column, names.identifier(column.name), of_items=False)
        feature = encoding.feature
        if feature is None:
            yield LeftOut(table="users", column=column.name, why=encoding.why)
            continue
        if isinstance(feature, ColumnFeature):
            feature = replace(feature, table="users")
        yield FeatureChoice(table="users", column=column.name, feature=feature, why=encoding.why)


def _of_items(tables: Tables, log: Log) -> Chosen:
    if tables.items is not None and tables.item_key is not None:
        columns: Sequence[ColumnProfile] = [c for c in tables.items.columns if c.name != tables.item_key.column.name]
        because = ""
    else:
        taken = tables.roles.names | tables.labels.columns
        columns = [
            _of_each(c, log.items, log.rows)
            for c in tables.events.columns
            if c.name not in taken and not _is_other_identifier(c) and _constant(c, log.items, log.rows)
        ]
        because = "; the same in all events of an item"
    for column in columns:
        encoding = encode_column(column, names.identifier(column.name), of_items=True)
        if encoding.feature is None:
            yield LeftOut(table="items", column=column.name, why=encoding.why)
        else:
            why = encoding.why + because
            yield FeatureChoice(table="items", column=column.name, feature=encoding.feature, why=why)


def _is_other_identifier(column: ColumnProfile) -> bool:
    """Whether a column numbers orders, sessions or rows; one with few values names their kinds instead."""
    if column.kind not in ("integer", "text") or column.distinct <= min(100, len(column.values) // 20):
        return False
    return bool(set(names.words(column.name)) & names.OTHER_IDENTIFIER)


def _constant(column: ColumnProfile, owners: _Integers, rows: _Integers) -> bool:
    """Whether a column's value follows from the user or the item, up to one in a hundred."""
    if column.kind in ("structure", "list", "vector", "time") or column.distinct < 2:
        return False
    codes, present = _codes(column.values, rows)
    if not present.any():
        return False
    pairs = np.unique(owners[present] * (int(codes.max()) + 2) + codes[present])
    num_owners = len(np.unique(owners[present]))
    # Owners with one event each have one value by necessity.
    again = present.sum() > 1.5 * num_owners
    return bool(again and num_owners >= _SAME * len(pairs))


def _of_each(column: ColumnProfile, owners: _Integers, rows: _Integers) -> ColumnProfile:
    """The column of an items or users table made of the interactions: one row an owner."""
    _, first = np.unique(owners, return_index=True)
    return ColumnProfile(column.name, column.kind, column.values.take(pa.array(rows[first])))


def _codes(values: pa.Array, rows: _Integers) -> tuple[_Integers, npt.NDArray[np.bool_]]:
    encoded = values.take(pa.array(rows)).dictionary_encode()
    present = encoded.is_valid().to_numpy(zero_copy_only=False)
    return encoded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64), present


def _at_most(found: Sequence[FeatureChoice | LeftOut]) -> list[FeatureChoice | LeftOut]:
    """A table of hundreds of columns gets its first ones as features, the rest as comments."""
    counts: dict[str, int] = {}
    kept: list[FeatureChoice | LeftOut] = []
    for choice in found:
        if isinstance(choice, FeatureChoice) and choice.active and choice.column and choice.feature.kind != "id":
            counts[choice.table] = counts.get(choice.table, 0) + 1
            if counts[choice.table] > _MOST_FEATURES:
                choice = replace(choice, active=False, why=f"{choice.why}; one of more than {_MOST_FEATURES}")
        kept.append(choice)
    return kept


def _unique_names(found: Sequence[FeatureChoice | LeftOut]) -> list[FeatureChoice | LeftOut]:
    """No name twice, none that is reserved or a filter's; roles and the history keep theirs."""
    of_items = {c.feature.name for c in found if isinstance(c, FeatureChoice) and c.table == "items"}
    filters = {f"{name}_{suffix}" for name in of_items for suffix in FILTER_SUFFIXES}
    of_history = {HistoryFeature().name, HistoryEventTypesFeature().name, HistoryTimesFeature().name}
    taken = set(RESERVED_NAMES | filters | of_history | {"user_id", "item_id", "timestamp"})
    kept: list[FeatureChoice | LeftOut] = []
    for choice in found:
        if isinstance(choice, FeatureChoice) and choice.column and not isinstance(choice.feature, IdFeature):
            name = choice.feature.name
            if name in taken:
                name = f"{choice.table.removesuffix('s')}_{name}"
            while name in taken:
                name += "_2"
            taken.add(name)
            choice = replace(choice, feature=replace(choice.feature, name=name))
        kept.append(choice)
    return kept
