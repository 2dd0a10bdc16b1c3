"""Sorted events of some users, and the joins that make them; written by the second pass, read by later ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.passes.rejects import Chunk
from beam_pipelines.workspace import Workspace, read_arrow, write_arrow

_NUM_EVENTS = ".num_events"


@dataclass(frozen=True)
class SortedEvents:
    """The `n` events of the `u` users of a partition, ordered by user, time and item id."""

    users: pa.Table
    """`[u]` user ids and user features."""
    starts: npt.NDArray[np.int64]
    """`[u + 1]` index of each user's first event; the last entry is `n`."""
    table: pa.Table
    """`[n]` item id (dictionary in code point order), time, context features, rating, event type."""

    @property
    def user_index(self) -> npt.NDArray[np.int64]:
        """`[n] int64` index of each event's user in `users`."""
        return np.repeat(np.arange(self.users.num_rows), np.diff(self.starts))

    def filter(self, keep: npt.NDArray[np.bool_]) -> "SortedEvents":
        """The events selected by a mask, `[n] bool`, and their users."""
        if keep.all():
            return self
        counts = np.bincount(self.user_index[keep], minlength=self.users.num_rows)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[counts > 0])])
        return SortedEvents(self.users.filter(pa.array(counts > 0)), starts, self.table.filter(pa.array(keep)))

    def numpy(self, name: str) -> npt.NDArray[Any]:
        """`[n]` values of a numeric column."""
        return np.asarray(self.table.column(name).to_numpy())


def store_sorted_events(events: SortedEvents, workspace: Workspace, partition: int) -> None:
    """Writes a partition's users and events for the later passes."""
    counts = pa.array(np.diff(events.starts))
    write_arrow(workspace.users(partition), events.users.append_column(_NUM_EVENTS, counts))
    write_arrow(workspace.events(partition), events.table)


def load_sorted_events(workspace: Workspace, partition: int) -> SortedEvents:
    """Reads back what `store_sorted_events` wrote."""
    users = read_arrow(workspace.users(partition))
    counts = users.column(_NUM_EVENTS).to_numpy()
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return SortedEvents(users.drop_columns([_NUM_EVENTS]), starts, read_arrow(workspace.events(partition)))


def gather(chunks: Sequence[Chunk], buckets: Sequence[int] | None = None) -> pa.Table:
    """The rows of some buckets, or all rows, in the order in which they were read."""
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


def ranked(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """The rank of each value among the distinct values, and the sorted distinct values (strings by code point)."""
    encoded = column.combine_chunks().dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order))


def last_of_each(rows: pa.Table, key: str) -> tuple[pa.Table, int]:
    """The last row of each key, ordered by key, and the number of other rows."""
    ranks, distinct = ranked(rows.column(key))
    last = np.zeros(len(distinct), np.int64)
    # Later assignments to the same place win.
    last[ranks] = np.arange(len(ranks))
    return rows.take(pa.array(last)), rows.num_rows - len(distinct)


def join_features(keys: pa.Array, key: str, known: pa.Table | None) -> pa.Table:
    """Looks up the features of each key; those of unknown keys are missing.

    Args:
        keys: `[k]` ids.
        key: name of their column.
        known: one row per id; None if there is no table.
    """
    columns = {key: keys}
    if known is not None:
        found = pc.index_in(keys, known.column(key).combine_chunks())
        for name in known.column_names:
            if name != key:
                columns[name] = with_missing(known.column(name).combine_chunks().take(found))
    return pa.table(columns)


def with_missing(values: pa.Array) -> pa.Array:
    """Replaces nulls by what records use: an empty string, NaN, an empty list."""
    if pa.types.is_list(values.type):
        return pc.if_else(values.is_null(), pa.scalar([], values.type), values)
    return values.fill_null("" if pa.types.is_string(values.type) else float("nan"))
