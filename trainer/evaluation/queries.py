"""Events of a dataset as the evaluation and the baselines know them: integer rows of users and items."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from features.schema import Schema
from trainer.data.events import Array, EncodedEvents, Int64
from trainer.metrics.protocol import UNKNOWN, EvaluationSet, Int, Interactions, Ragged, order_of_events


@dataclass(frozen=True, kw_only=True)
class JudgedSplit:
    """One split, as events and as queries with targets."""

    events: EncodedEvents
    """Events of the split, with what came before as context."""
    queries: EvaluationSet
    """One query a record with targets."""
    asked_at: Int64
    """`[queries]`: the event that each query is asked at."""


@dataclass(frozen=True, kw_only=True)
class Users:
    """The training users, numbered from 0: those with an embedding by it, the others by their record."""

    keys: Int
    """`[users] int64`, ascending: index of the embedding, or below 0 for a record without one."""

    def rows(self, keys: Int) -> Int:
        """`[n] int64`: numbers of the users with these keys, `UNKNOWN` for others."""
        places = np.searchsorted(self.keys, keys).clip(max=max(len(self.keys) - 1, 0))
        return np.where(self.keys[places] == keys, places, UNKNOWN) if len(self.keys) else np.full(len(keys), UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class TrainingCounts:
    """What a measurement needs of the training events, however many there are."""

    users: Users
    """The training users."""
    popularity: Int
    """`[items] int64`: events with each item of the catalogue."""


def count_training(
    blocks: Iterable[EncodedEvents], schema: Schema, first_user_index: int, num_items: int
) -> TrainingCounts:
    """Users and popularity; arguments as for `training_interactions`."""
    keys, popularity = [np.empty(0, np.int64)], np.zeros(num_items, np.int64)
    for events, of_records in _with_user_keys(blocks, schema, first_user_index):
        keys.append(np.unique(of_records))
        popularity += np.bincount(events.candidate_row[events.candidate_row >= 0], minlength=num_items)
    return TrainingCounts(users=Users(keys=np.unique(np.concatenate(keys))), popularity=popularity)


def training_interactions(
    blocks: Iterable[EncodedEvents],
    schema: Schema,
    first_user_index: int,
    num_items: int,
    *,
    context: Callable[[EncodedEvents], Int] | None = None,
) -> Interactions:
    """The training events, as baselines are fitted on them.

    Args:
        blocks: the training split, whole records at a time.
        schema: Schema of the dataset.
        first_user_index: index of the user vocabulary's first token.
        num_items: items in the catalogue.
        context: gives `Interactions.context`, `[events] int64`, of some events; None where there is none.
    """
    of_records, columns = [np.empty(0, np.int64)], list[tuple[Array, ...]]()
    for events, keys in _with_user_keys(blocks, schema, first_user_index):
        of_records.append(np.unique(keys))
        known = events.candidate_row >= 0
        values: list[Array] = [keys[events.record_of_event()], events.candidate_row, events.timestamp, events.weight]
        values += [] if context is None else [context(events)]
        columns.append(tuple(each[known] for each in values))
    users = Users(keys=np.unique(np.concatenate(of_records)))
    whole: list[Array] = [np.concatenate(parts) for parts in zip(*columns, strict=True)]
    of_events, items, times, weights, *contexts = whole
    rows, at = users.rows(of_events.astype(np.int64, copy=False)), times.astype(np.int64, copy=False)
    interactions = Interactions.from_events(
        rows,
        items.astype(np.int64),
        at,
        weights=weights.astype(np.float32, copy=False),
        num_users=len(users.keys),
        num_items=num_items,
    )
    if not contexts:
        return interactions
    return replace(interactions, context=contexts[0].astype(np.int64)[order_of_events(rows, at)])


def _with_user_keys(
    blocks: Iterable[EncodedEvents], schema: Schema, first_user_index: int
) -> Iterator[tuple[EncodedEvents, Int64]]:
    """Each block with the key of each record's user."""
    records = 0
    for events in blocks:
        yield events, _user_keys(events, schema, first_user_index, records)
        records += events.num_records


def training_users(events: EncodedEvents, schema: Schema, first_user_index: int) -> Users:
    """The users of the training split; arguments as for `training_interactions`."""
    return Users(keys=np.unique(_user_keys(events, schema, first_user_index)))


def rows_of_records(events: EncodedEvents, schema: Schema, users: Users, first_user_index: int) -> Int:
    """`[records] int64`: number of each record's user among the training users, `UNKNOWN` for others.

    Args:
        events: any split.
        schema: Schema of the dataset.
        users: the training users.
        first_user_index: index of the user vocabulary's first token.
    """
    return users.rows(_user_keys(events, schema, first_user_index))


def evaluation_set(
    events: EncodedEvents,
    schema: Schema,
    users: Users,
    first_user_index: int,
    num_items: int,
    *,
    only_next: bool = False,
) -> tuple[EvaluationSet, Int64]:
    """One query a record with targets: asked at its first target, to be answered by all its targets.

    Args:
        events: the validation or the test split.
        schema: Schema of the dataset.
        users: the training users.
        first_user_index: index of the user vocabulary's first token.
        num_items: items in the catalogue.
        only_next: whether the targets of the first target's moment alone are to be found: the next basket.

    Returns:
        The evaluation set, and `[queries] int64`: the event that each query is asked at.
    """
    first_target = events.record_splits[:-1] + events.num_context
    records = np.flatnonzero(first_target < events.record_splits[1:])
    rows = events.candidate_row.astype(np.int64)
    context, times = _context(events, records)
    end = events.ends_of_moments(first_target) if only_next else events.record_splits[1:]
    targets = _between(rows, first_target[records], end[records])
    keys = _user_keys(events, schema, first_user_index)[records]
    return (
        EvaluationSet(
            user_rows=users.rows(keys),
            history=context,
            history_timestamps=times,
            seen=context.distinct(),
            targets=targets.distinct(),
            num_items=num_items,
        ),
        first_target[records],
    )


def _context(events: EncodedEvents, records: Int64) -> tuple[Ragged, Int]:
    """Catalogue rows of the context events that are in the catalogue, and their times."""
    start = events.record_splits[:-1][records]
    end = start + events.num_context[records]
    rows = _between(events.candidate_row.astype(np.int64), start, end)
    times = _between(events.timestamp, start, end)
    known = rows.values != UNKNOWN
    return rows.where(known), times.values[known]


def _between(values: Int, start: Int, end: Int) -> Ragged:
    """The slices `values[start[i]:end[i]]`."""
    slices = [values[s:e] for s, e in zip(start, end, strict=True)]
    return Ragged.from_lengths(end - start, np.concatenate([*slices, np.empty(0, np.int64)]))


def _user_keys(events: EncodedEvents, schema: Schema, first_user_index: int, first_record: int = 0) -> Int:
    """`[records] int64`: the user's embedding index where there is one of its own, else a number below 0.

    `first_record` is how many records of the split come before these events.
    """
    unknown = -1 - first_record - np.arange(events.num_records, dtype=np.int64)
    if schema.user_id not in events.user:
        return unknown
    index = events.user[schema.user_id].astype(np.int64)
    return np.where(index >= first_user_index, index, unknown)
