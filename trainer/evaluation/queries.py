"""Events of a dataset as the evaluation and the baselines know them: integer rows of users and items."""

from dataclasses import dataclass

import numpy as np

from features.schema import Schema
from trainer.data.events import EncodedEvents, Int64
from trainer.metrics.protocol import UNKNOWN, EvaluationSet, Int, Interactions, Ragged


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


def training_interactions(events: EncodedEvents, schema: Schema, first_user_index: int, num_items: int) -> Interactions:
    """The training events, as baselines are fitted on them.

    Args:
        events: the training split.
        schema: Schema of the dataset.
        first_user_index: index of the user vocabulary's first token.
        num_items: items in the catalogue.
    """
    keys = _user_keys(events, schema, first_user_index)
    known = events.candidate_row >= 0
    users = training_users(events, schema, first_user_index)
    return Interactions.from_events(
        users.rows(keys[events.record_of_event()])[known],
        events.candidate_row[known].astype(np.int64),
        events.timestamp[known],
        weights=events.weight[known],
        num_users=len(users.keys),
        num_items=num_items,
    )


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


def _user_keys(events: EncodedEvents, schema: Schema, first_user_index: int) -> Int:
    """`[records] int64`: the user's embedding index where there is one of its own, else a number below 0."""
    unknown = -1 - np.arange(events.num_records, dtype=np.int64)
    if schema.user_id not in events.user:
        return unknown
    index = events.user[schema.user_id].astype(np.int64)
    return np.where(index >= first_user_index, index, unknown)
