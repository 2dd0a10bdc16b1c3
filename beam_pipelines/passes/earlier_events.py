"""What a user had clicked before the first row of a log, listed in that row, as events."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.sources.shown_items import IS_CLICKED
from beam_pipelines.sources.tables import EARLIER_ITEMS, EVENT_TYPE
from features.schema import Schema


def with_earlier_events(rows: pa.Table, schema: Schema) -> pa.Table:
    """Appends the `earlier_items` of each user's first row as clicks before it, a second apart, oldest first.

    Later rows of a user list what the log itself has as clicks by then. Of an earlier event only user, item, time and
    kind are known.

    Args:
        rows: all rows of some users; without `earlier_items` they stay as they are.
        schema: names of the columns.
    """
    if EARLIER_ITEMS not in rows.column_names:
        return rows
    times = rows.column(schema.timestamp).to_numpy()
    lists = rows.column(EARLIER_ITEMS).combine_chunks()
    rows = rows.drop_columns([EARLIER_ITEMS])
    first = _first_rows(rows.column(schema.user_id), times, lists)
    lists = lists.take(pa.array(first))
    owners = first[pc.list_parent_indices(lists).to_numpy()]
    if not len(owners):
        return rows
    known = {
        schema.user_id: rows.column(schema.user_id).take(pa.array(owners)),
        schema.item_id: lists.flatten(),
        schema.timestamp: pa.array(np.maximum(times[owners] - _places_to_end(lists), 0)),
        EVENT_TYPE: pa.repeat(pa.scalar(IS_CLICKED), len(owners)),
    }
    columns = [known[field.name] if field.name in known else _missing(field.type, len(owners)) for field in rows.schema]
    return pa.concat_tables([rows, pa.table(columns, schema=rows.schema)]).combine_chunks()


def _first_rows(users: pa.ChunkedArray, times: npt.NDArray[np.int64], lists: pa.ListArray) -> npt.NDArray[np.int64]:
    """The first row of each user; of several at that moment, the one with the longest list, which stands there once."""
    codes = users.combine_chunks().dictionary_encode().indices.to_numpy()
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    order = np.lexsort([-lengths, times, codes])
    return np.asarray(order[np.diff(codes[order], prepend=-1) != 0])


def _places_to_end(lists: pa.ListArray) -> npt.NDArray[np.int64]:
    """1 for the last entry of each list, 2 for the one before."""
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    places: npt.NDArray[np.int64] = np.repeat(np.cumsum(lengths), lengths) - np.arange(lengths.sum())
    return places


def _missing(kind: pa.DataType, size: int) -> pa.Array:
    """Missing values as validation writes them."""
    value: Any = "" if pa.types.is_string(kind) else float("nan") if pa.types.is_floating(kind) else []
    return pa.repeat(pa.scalar(value, kind), size)
