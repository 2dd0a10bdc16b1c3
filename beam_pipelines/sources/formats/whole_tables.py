"""What formats have in common whose files are read as one Arrow table."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from beam_pipelines.sources.contract import RawBatch, column_sources, require_columns
from beam_pipelines.sources.nested import column_of, leaf_names
from beam_pipelines.sources.tables import Table

_BATCH_ROWS = 1 << 17


def batches_of(table: Table, path: str, found: pa.Table) -> Iterator[RawBatch]:
    """The table's columns, batch by batch.

    Raises:
        InputError: a column is missing.
    """
    require_columns(table, path, list(dict.fromkeys([*leaf_names(found.schema), *found.schema.names])))
    names = column_sources(table)
    row = 1
    for batch in found.to_batches(_BATCH_ROWS):
        columns = pa.RecordBatch.from_arrays([column_of(batch, name) for name in names], names)
        yield RawBatch(columns, np.arange(row, row + batch.num_rows))
        row += batch.num_rows
