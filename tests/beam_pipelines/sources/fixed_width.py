"""A file format from outside the package: three digits of the user, three of the item, then the second."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile, column_sources, require_columns
from beam_pipelines.sources.formats.text import whole_file
from beam_pipelines.sources.opening import open_stream
from beam_pipelines.sources.tables import Table

COLUMNS = {"user_id": slice(0, 3), "item_id": slice(3, 6), "timestamp": slice(6, None)}


def units(table: Table, file: SourceFile) -> Iterator[ReadUnit]:
    require_columns(table, file.path, list(COLUMNS))
    return whole_file(table, file, "fixed")


def column_names(_table: Table, _path: str) -> list[str]:
    return list(COLUMNS)


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    with open_stream(unit.path) as stream:
        lines = stream.read().decode().splitlines()
    names = column_sources(table)
    arrays = [pa.array([line[COLUMNS[name]] for line in lines]) for name in names]
    yield RawBatch(pa.RecordBatch.from_arrays(arrays, names), np.arange(1, len(lines) + 1))
