"""Second pass: the events of some users, sorted, without exact duplicates, beside what is known of the users."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import PipelineConfig
from beam_pipelines.passes.cleaning import bot_events, near_duplicates
from beam_pipelines.passes.ingest import Chunk
from beam_pipelines.passes.labels import label_events
from beam_pipelines.passes.time_histogram import TimeHistogram
from beam_pipelines.passes.user_history_features import derived_features
from beam_pipelines.passes.workspace import Workspace, read_arrow, write_arrow
from beam_pipelines.sources.tables import EVENT_TYPE
from features.schema import Schema

_NUM_EVENTS = ".num_events"
_LARGEST = 2**63


@dataclass(frozen=True, kw_only=True)
class SortTask:
    """The users whose ids fall into some buckets."""

    partition: int
    """Number of the partition, and of the shards it will write."""
    buckets: tuple[int, ...]
    """Its buckets."""


@dataclass(frozen=True, kw_only=True)
class SortReport:
    """What became of a partition's rows."""

    duplicates: int
    """Rows equal to another in every column that is read."""
    near_duplicates: int
    """Events that repeat an earlier one too soon."""
    bot_events: int
    """Events beyond what a person does on a day, and those that follow."""
    user_duplicates: int
    """Rows of the users table with an id that comes again later; the last row counts."""


@dataclass(frozen=True)
class SortedEvents:
    """The events of a partition in order of user, time and item id; `n` events of `u` users."""

    users: pa.Table
    """`[u]` user id and user features."""
    starts: npt.NDArray[np.int64]
    """`[u + 1]` where each user's events begin; the last entry is `n`."""
    table: pa.Table
    """`[n]` item id (dictionary in code point order), time, context features, rating, event type."""

    @property
    def user_index(self) -> npt.NDArray[np.int64]:
        """`[n] int64` position of each event's user in `users`."""
        return np.repeat(np.arange(self.users.num_rows), np.diff(self.starts))

    def filter(self, keep: npt.NDArray[np.bool_]) -> "SortedEvents":
        """The events of the mask, `[n] bool`, and their users."""
        if keep.all():
            return self
        counts = np.bincount(self.user_index[keep], minlength=self.users.num_rows)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[counts > 0])])
        return SortedEvents(self.users.filter(pa.array(counts > 0)), starts, self.table.filter(pa.array(keep)))

    def numpy(self, name: str) -> npt.NDArray[Any]:
        """`[n]` values of a numeric column."""
        return np.asarray(self.table.column(name).to_numpy())


def sort_partition(
    task: SortTask,
    *,
    schema: Schema,
    config: PipelineConfig,
    events: Sequence[Chunk],
    users: Sequence[Chunk],
    workspace: Workspace,
) -> SortReport:
    """Gathers, sorts, cleans and stores one partition.

    Args:
        task: which users.
        schema: names of the columns.
        config: cleaning, labels and derived features.
        events: chunks of the interactions.
        users: chunks of the users table; empty if there is none.
        workspace: where the partition is stored.
    """
    rows = gather(events, task.buckets)
    table, owners = _sorted_by_user(rows, schema)
    near = near_duplicates(_repetition_keys(table, owners, schema), _times(table, schema), config.cleaning)
    bots = np.zeros(len(near), bool)
    bots[~near] = bot_events(owners[~near], _times(table, schema)[~near], config.cleaning)
    kept = ~(near | bots)
    cleaned, owners = table.filter(pa.array(kept)).combine_chunks(), owners[kept]
    starts = np.flatnonzero(np.diff(owners, prepend=-1, append=-1)) if len(owners) else np.zeros(1, np.int64)
    known, user_duplicates = last_of_each(gather(users, task.buckets), schema.user_id) if users else (None, 0)
    ids = cleaned.column(schema.user_id).take(pa.array(starts[:-1])).combine_chunks()
    joined = join_features(ids, schema.user_id, known)
    found = _with_derived(SortedEvents(joined, starts, cleaned.drop_columns([schema.user_id])), schema, config)
    write_arrow(workspace.users(task.partition), joined.append_column(_NUM_EVENTS, pa.array(np.diff(starts))))
    write_arrow(workspace.events(task.partition), found.table)
    TimeHistogram.of(found.numpy(schema.timestamp)).write(workspace.times(task.partition))
    return SortReport(
        duplicates=rows.num_rows - table.num_rows,
        near_duplicates=int(near.sum()),
        bot_events=int(bots.sum()),
        user_duplicates=user_duplicates,
    )


def _times(table: pa.Table, schema: Schema) -> npt.NDArray[np.int64]:
    return np.asarray(table.column(schema.timestamp).to_numpy())


def _repetition_keys(table: pa.Table, owners: npt.NDArray[np.int64], schema: Schema) -> list[npt.NDArray[np.int64]]:
    """What has to be equal for an event to repeat another."""
    keys = [table.column(schema.item_id).combine_chunks().indices.to_numpy(), owners]
    return [ranked(table.column(EVENT_TYPE))[0], *keys] if EVENT_TYPE in table.column_names else keys


def _with_derived(events: SortedEvents, schema: Schema, config: PipelineConfig) -> SortedEvents:
    values = derived_features(
        events.starts,
        events.numpy(schema.timestamp),
        label_events(events.table, config.label).positive,
        wanted=config.derived,
        session_gap_seconds=config.session_gap_seconds,
    )
    table = events.table
    for name, column in values.items():
        table = table.append_column(name, pa.array(column))
    return SortedEvents(events.users, events.starts, table)


def load_sorted_events(workspace: Workspace, partition: int) -> SortedEvents:
    """Reads back what `sort_partition` stored."""
    users = read_arrow(workspace.users(partition))
    counts = users.column(_NUM_EVENTS).to_numpy()
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return SortedEvents(users.drop_columns([_NUM_EVENTS]), starts, read_arrow(workspace.events(partition)))


def gather(chunks: Sequence[Chunk], buckets: Sequence[int] | None = None) -> pa.Table:
    """The rows of some buckets, or all rows, chunk by chunk in the order they were read."""
    pieces = []
    for chunk in chunks:
        table = read_arrow(Path(chunk.path))
        if buckets is None:
            pieces.append(table)
            continue
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(chunk.bucket_rows)])
        pieces += [table.slice(starts[b], chunk.bucket_rows[b]) for b in buckets if chunk.bucket_rows[b]]
        pieces.append(table.slice(0, 0))
    return pa.concat_tables(pieces).combine_chunks()


def _sorted_by_user(rows: pa.Table, schema: Schema) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """The distinct rows by user, time and item, and `[n]` each row's user as a number."""
    users, _ = ranked(rows.column(schema.user_id))
    items, distinct_items = ranked(rows.column(schema.item_id))
    keys = [items, rows.column(schema.timestamp).to_numpy(), users]
    order = _order_by(keys)
    if _equal_to_previous(keys, order).any():
        # Equal user, time and item: order by the other columns too, so that the result is the same whatever order
        # the rows were read in, and equal rows come to lie side by side.
        named = {schema.user_id, schema.item_id, schema.timestamp}
        keys = [ranked(rows.column(name))[0] for name in rows.column_names if name not in named] + keys
        order = np.lexsort(keys)
        order = order[~_equal_to_previous(keys, order)]
    encoded = pa.DictionaryArray.from_arrays(pa.array(items.astype(np.int32)), distinct_items)
    at = rows.schema.get_field_index(schema.item_id)
    return rows.set_column(at, schema.item_id, encoded).take(pa.array(order)).combine_chunks(), users[order]


def _order_by(keys: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """`np.lexsort`, but equal keys come in any order: the last key first, packed into one number where all fit."""
    if not len(keys[0]):
        return np.zeros(0, np.int64)
    packed = np.zeros(len(keys[0]), np.int64)
    size = 1
    for key in keys:
        low = int(key.min())
        packed += (key - low) * size
        size *= int(key.max()) - low + 1
        if size >= _LARGEST:
            return np.lexsort(keys)
    return np.argsort(packed)


def ranked(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """The rank of each value among the distinct values, and these in order (strings in code point order)."""
    encoded = column.combine_chunks().dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order))


def _equal_to_previous(keys: Sequence[npt.NDArray[np.int64]], order: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    equal = np.zeros(len(order), bool)
    if len(order):
        equal[1:] = np.logical_and.reduce([np.diff(key[order]) == 0 for key in keys])
    return equal


def last_of_each(rows: pa.Table, key: str) -> tuple[pa.Table, int]:
    """One row a key, the last that was read, in order of the keys; and how many others there were."""
    ranks, distinct = ranked(rows.column(key))
    last = np.zeros(len(distinct), np.int64)
    # Later assignments to the same place win.
    last[ranks] = np.arange(len(ranks))
    return rows.take(pa.array(last)), rows.num_rows - len(distinct)


def join_features(keys: pa.Array, key: str, known: pa.Table | None) -> pa.Table:
    """The features of each key; missing values where it is unknown.

    Args:
        keys: `[k]` ids.
        key: name of their column.
        known: one row an id, or none at all.
    """
    columns = {key: keys}
    if known is not None:
        found = pc.index_in(keys, known.column(key).combine_chunks())
        for name in known.column_names:
            if name != key:
                columns[name] = with_missing(known.column(name).combine_chunks().take(found))
    return pa.table(columns)


def with_missing(values: pa.Array) -> pa.Array:
    """Nulls as records write them: an empty string, NaN, an empty list."""
    if pa.types.is_list(values.type):
        return pc.if_else(values.is_null(), pa.scalar([], values.type), values)
    return values.fill_null("" if pa.types.is_string(values.type) else float("nan"))
