"""Converts documents (nested dictionaries) to Arrow columns."""

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pipelines.sources.contract import RawBatch, column_sources, require_columns
from beam_pipelines.sources.python_values import Document, array_of, field_of
from beam_pipelines.sources.tables import Table


def raw_batch(table: Table, documents: Sequence[Document], rows: npt.NDArray[np.int64]) -> RawBatch:
    """The columns of the table for some documents; `author.name` is the field `name` of the object `author`.

    A column has the type of its values: integers, floats, times, lists of texts, or texts if they are mixed.

    Args:
        table: names the columns.
        documents: `[rows]`.
        rows: `[rows]` number of each document.
    """
    names = column_sources(table)
    columns = {name: [field_of(document, name) for document in documents] for name in names}
    malformed: list[tuple[int, str, str]] = []
    for name in (column.source for column in table.columns if column.kind == "time"):
        malformed += [(int(rows[n]), f"{name} is not of the date type", value) for n, value in _no_times(columns[name])]
    refused = {row for row, _, _ in malformed}
    kept = [n for n, row in enumerate(rows) if int(row) not in refused] if refused else range(len(rows))
    arrays = [_column([values[n] for n in kept]) for values in columns.values()]
    return RawBatch(pa.RecordBatch.from_arrays(arrays, names), rows[list(kept)], malformed)


def require_fields(table: Table, label: str, documents: Sequence[Document]) -> None:
    """Checks that each column of the table is in one of the documents.

    Raises:
        InputError: a column is in none of them.
    """
    found = list(dict.fromkeys(name for document in documents for name in document))
    names = (column.source for column in table.columns)
    inner = {name for name in names if any(field_of(document, name) is not None for document in documents)}
    require_columns(table, label, [*found, *inner.difference(found)])


def _no_times(values: list[Any]) -> list[tuple[int, str]]:
    """Positions and texts of values that are no times in a column of times."""
    if not any(isinstance(value, datetime.datetime) for value in values):
        return []
    return [(n, str(v)) for n, v in enumerate(values) if v is not None and not isinstance(v, datetime.datetime)]


def _column(values: list[Any]) -> pa.Array:
    given = [value for value in values if value is not None]
    if given and all(isinstance(value, datetime.datetime) for value in given):
        return pa.array(values, pa.timestamp("us", "UTC" if given[0].tzinfo else None))
    if given and all(type(value) is datetime.date for value in given):
        return pa.array(values, pa.date32())
    return array_of([_plain(value) for value in values])


def _plain(value: Any) -> Any:
    """Keeps JSON's types and turns others into texts: object ids, decimals, dates; objects become JSON."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return json.dumps(value, default=str, ensure_ascii=False)
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)
