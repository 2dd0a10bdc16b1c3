"""Parquet files, cut at row groups."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile, column_sources, require_columns
from beam_pipelines.sources.nested import column_of, leaf_names, top_names
from beam_pipelines.sources.opening import open_file
from beam_pipelines.sources.tables import Table

_BATCH_ROWS = 1 << 17
_ROWS_PER_UNIT = 1_000_000


def units(table: Table, file: SourceFile) -> Iterator[ReadUnit]:
    """`contract.FileFormat.units`: neighbouring row groups of about a million rows.

    Raises:
        InputError: the file cannot be read or lacks a column.
    """
    with open_file(file.path) as opened:
        metadata = pq.ParquetFile(opened).metadata
    schema = metadata.schema.to_arrow_schema()
    require_columns(table, file.path, list(dict.fromkeys([*leaf_names(schema), *schema.names])))
    first_row = 1
    for groups, rows in _row_groups(metadata):
        size = file.size * rows // max(metadata.num_rows, 1)
        unit = ReadUnit(table=table.name, path=file.path, format="parquet", row_groups=groups, first_row=first_row)
        yield replace(unit, size=size)
        first_row += rows


def _row_groups(metadata: pq.FileMetaData) -> Iterator[tuple[tuple[int, ...], int]]:
    """Neighbouring row groups up to about `_ROWS_PER_UNIT` rows, and their number of rows."""
    groups: list[int] = []
    rows = 0
    for index in range(metadata.num_row_groups):
        groups.append(index)
        rows += metadata.row_group(index).num_rows
        if rows >= _ROWS_PER_UNIT or index == metadata.num_row_groups - 1:
            yield tuple(groups), rows
            groups, rows = [], 0


def column_names(_table: Table, path: str) -> list[str]:
    """`contract.FileFormat.column_names`."""
    with open_file(path) as file, pq.ParquetFile(file) as parquet:
        return leaf_names(parquet.schema_arrow)


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """`contract.FileFormat.read`."""
    row, names = unit.first_row, column_sources(table)
    with open_file(unit.path) as file, pq.ParquetFile(file) as parquet:
        tops = top_names(parquet.schema_arrow, names)
        for batch in parquet.iter_batches(_BATCH_ROWS, row_groups=list(unit.row_groups), columns=tops):
            columns = pa.RecordBatch.from_arrays([column_of(batch, name) for name in names], names)
            yield RawBatch(columns, np.arange(row, row + batch.num_rows))
            row += batch.num_rows
