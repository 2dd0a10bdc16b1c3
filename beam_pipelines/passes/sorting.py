"""Second pass: sorts and cleans the events of some users, and joins what is known of the users."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pipelines.config import PipelineConfig
from beam_pipelines.engine import run_pass
from beam_pipelines.passes.cleaning import bot_events, near_duplicates
from beam_pipelines.passes.context import PassContext
from beam_pipelines.passes.earlier_events import with_earlier_events
from beam_pipelines.passes.ingest import NUM_BUCKETS, TablesRead, assign_buckets
from beam_pipelines.passes.labels import positive_events
from beam_pipelines.passes.rejects import Chunk
from beam_pipelines.passes.sorted_events import (
    SortedEvents,
    gather,
    join_features,
    last_of_each,
    ranked,
    store_sorted_events,
)
from beam_pipelines.passes.time_histogram import TimeHistogram
from beam_pipelines.passes.user_history_features import derived_features
from beam_pipelines.sources.tables import EVENT_TYPE
from beam_pipelines.workspace import Workspace
from features.schema import Schema

_EVENTS_PER_SHARD = 500_000
_LEAST_SHARDS = 4
_LARGEST = 2**63


@dataclass(frozen=True, kw_only=True)
class SortTask:
    """A partition to sort: the users whose ids fall into some buckets."""

    partition: int
    """Number of the partition and of its shards."""
    buckets: tuple[int, ...]
    """Buckets of the partition."""


@dataclass(frozen=True, kw_only=True)
class SortReport:
    """Report of one partition."""

    earlier_events: int
    """Events made of `earlier_items`."""
    duplicates: int
    """Rows that equal another row in every column that is read."""
    near_duplicates: int
    """Events that repeat an earlier one too soon."""
    bot_events: int
    """Events above the daily limit, and later events of the same users."""
    shared_moments: int
    """Events at the same moment as another event of the same user."""
    user_duplicates: int
    """Rows of the users table that a later row with the same id replaces."""


@dataclass(frozen=True)
class EventsSorted:
    """The partitions that the pass made."""

    reports: list[SortReport]
    """One for each partition."""
    times: TimeHistogram
    """When the events of all partitions happened."""

    @property
    def partitions(self) -> range:
        """The numbers of the partitions."""
        return range(len(self.reports))


def sort_events(read: TablesRead, context: PassContext) -> EventsSorted:
    """Runs the pass over all partitions."""
    chunks = read.chunks("interactions")
    sort = partial(
        sort_partition,
        schema=context.schema,
        config=context.config,
        events=chunks,
        users=read.chunks("users"),
        workspace=context.workspace,
    )
    tasks = sort_tasks(chunks, context.config)
    reports = run_pass("sort", sort, tasks, report=SortReport, engine=context.engine)
    histograms = (TimeHistogram.read(context.workspace.times(task.partition)) for task in tasks)
    return EventsSorted(reports, TimeHistogram.merged(histograms))


def sort_tasks(chunks: Sequence[Chunk], config: PipelineConfig) -> list[SortTask]:
    """Divides the buckets into partitions of about the same number of events."""
    bucket_rows = np.sum([chunk.bucket_rows for chunk in chunks], axis=0).astype(np.int64)
    wanted = config.num_shards or max(_LEAST_SHARDS, -(-int(bucket_rows.sum()) // _EVENTS_PER_SHARD))
    assigned = assign_buckets(bucket_rows, min(wanted, NUM_BUCKETS))
    return [SortTask(partition=number, buckets=tuple(buckets)) for number, buckets in enumerate(assigned)]


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
        task: the partition.
        schema: names of the columns.
        config: cleaning, labels and derived features.
        events: chunks of the interactions.
        users: chunks of the users table; empty if there is none.
        workspace: where the partition is stored.
    """
    logged = gather(events, task.buckets)
    rows = with_earlier_events(logged, schema)
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
    store_sorted_events(found, workspace, task.partition)
    TimeHistogram.of(found.numpy(schema.timestamp)).write(workspace.times(task.partition))
    return SortReport(
        earlier_events=rows.num_rows - logged.num_rows,
        duplicates=rows.num_rows - table.num_rows,
        near_duplicates=int(near.sum()),
        bot_events=int(bots.sum()),
        shared_moments=_shared_moments(found.starts, found.numpy(schema.timestamp)),
        user_duplicates=user_duplicates,
    )


def _shared_moments(starts: npt.NDArray[np.int64], times: npt.NDArray[np.int64]) -> int:
    same = np.diff(times) == 0
    # The first event of a user does not follow the last one of the user before.
    same[starts[1:-1] - 1] = False
    return int((np.append(same, False) | np.insert(same, 0, False)).sum()) if len(times) else 0


def _times(table: pa.Table, schema: Schema) -> npt.NDArray[np.int64]:
    return np.asarray(table.column(schema.timestamp).to_numpy())


def _repetition_keys(table: pa.Table, owners: npt.NDArray[np.int64], schema: Schema) -> list[npt.NDArray[np.int64]]:
    """Columns in which an event must equal another to repeat it."""
    keys = [table.column(schema.item_id).combine_chunks().indices.to_numpy(), owners]
    return [ranked(table.column(EVENT_TYPE))[0], *keys] if EVENT_TYPE in table.column_names else keys


def _with_derived(events: SortedEvents, schema: Schema, config: PipelineConfig) -> SortedEvents:
    values = derived_features(
        events.starts,
        events.numpy(schema.timestamp),
        positive_events(events.table, config.label),
        wanted=config.derived,
        session_gap_seconds=config.session_gap_seconds,
    )
    table = events.table
    for name, column in values.items():
        table = table.append_column(name, pa.array(column))
    return SortedEvents(events.users, events.starts, table)


def _sorted_by_user(rows: pa.Table, schema: Schema) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """The distinct rows ordered by user, time and item, and the `[n]` user number of each row."""
    users, _ = ranked(rows.column(schema.user_id))
    items, distinct_items = ranked(rows.column(schema.item_id))
    keys = [items, rows.column(schema.timestamp).to_numpy(), users]
    order = _order_by(keys)
    if _equal_to_previous(keys, order).any():
        # Order by the other columns too, so that the result does not depend on the order in which rows were read,
        # and equal rows are adjacent.
        named = {schema.user_id, schema.item_id, schema.timestamp}
        keys = [ranked(rows.column(name))[0] for name in rows.column_names if name not in named] + keys
        order = np.lexsort(keys)
        order = order[~_equal_to_previous(keys, order)]
    encoded = pa.DictionaryArray.from_arrays(pa.array(items.astype(np.int32)), distinct_items)
    at = rows.schema.get_field_index(schema.item_id)
    return rows.set_column(at, schema.item_id, encoded).take(pa.array(order)).combine_chunks(), users[order]


def _order_by(keys: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Like `np.lexsort`, but unstable: packs the keys into one integer if they fit."""
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


def _equal_to_previous(keys: Sequence[npt.NDArray[np.int64]], order: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    equal = np.zeros(len(order), bool)
    if len(order):
        equal[1:] = np.logical_and.reduce([np.diff(key[order]) == 0 for key in keys])
    return equal
