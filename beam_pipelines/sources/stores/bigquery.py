"""BigQuery through Beam's own connector, which reads the storage API's streams in parallel.

The connector makes a Beam element of every row, so a separate pass copies the table into Parquet files, which the other
passes read by columns. A retry may copy rows twice; rows that are equal in every column count as one event.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.gcp import bigquery, bigquery_tools

from beam_pipelines.config.database import DatabaseSource
from beam_pipelines.engine import Engine, new_pipeline
from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile, require_columns
from beam_pipelines.sources.python_values import Document
from beam_pipelines.sources.stores.documents import raw_batch
from beam_pipelines.sources.tables import Table
from features.errors import RecstackError, first_line
from features.schema import fingerprint

_ROWS_PER_FILE = 200_000


class WriteRows(beam.DoFn):
    """Writes a batch of rows as a Parquet file."""

    def __init__(self, table: Table, folder: Path) -> None:
        self._table = table
        self._folder = folder

    def process(self, element: list[Document], *_args: Any, **_kwargs: Any) -> None:
        """Writes under a temporary name.

        Args:
            element: rows by the table's own names.
        """
        raw = raw_batch(self._table, element, np.arange(len(element)))
        path = self._folder / f"{uuid.uuid4().hex}.parquet"
        temporary = path.with_suffix(".tmp")
        pq.write_table(pa.Table.from_batches([raw.columns]), temporary)
        temporary.replace(path)


def find(table: Table) -> list[SourceFile]:
    """`contract.Store.find`: the digest is the time of the last change, which BigQuery records."""
    source = table.source.database
    project, dataset = _names(source)
    try:
        found = bigquery_tools.BigQueryWrapper().get_table(project, dataset, source.table)
    except Exception as error:
        raise RecstackError(f"{source.label}: BigQuery does not show the table ({first_line(error)})") from error
    require_columns(table, source.label, [field.name for field in found.schema.fields])
    digest = fingerprint([str(found.numRows), str(found.lastModifiedTime)])
    return [SourceFile(path=source.label, size=int(found.numRows), modified=0.0, digest=digest)]


def units(table: Table, _found: list[SourceFile], engine: Engine) -> Iterator[ReadUnit]:
    """`contract.Store.units`: the files of the copy."""
    source = table.source.database
    project, dataset = _names(source)
    folder = engine.workspace.root / f"fetched-{table.name}"
    folder.mkdir()
    rows = bigquery.ReadFromBigQuery(
        method=bigquery.ReadFromBigQuery.Method.DIRECT_READ,
        table=f"{project}:{dataset}.{source.table}",
        row_restriction=source.where or None,
        selected_fields=list(dict.fromkeys(column.source for column in table.columns)),
        use_native_datetime=True,
    )
    new = new_pipeline(f"fetch-{table.name}", engine)
    try:
        with new as pipeline:
            batches = pipeline | "rows" >> rows | beam.BatchElements(_ROWS_PER_FILE, _ROWS_PER_FILE)
            _ = batches | "files" >> beam.ParDo(WriteRows(table, folder))
    except Exception as error:
        raise RecstackError(f"{source.label}: BigQuery refuses or broke off ({first_line(error)})") from error
    for path in sorted(folder.glob("*.parquet")):
        yield ReadUnit(
            table=table.name, path=source.label, format="database", selection=str(path), size=path.stat().st_size
        )


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """`contract.Store.read`; row numbers are positions in the copy."""
    row = 1
    with pq.ParquetFile(unit.selection) as parquet:
        for batch in parquet.iter_batches(_ROWS_PER_FILE):
            yield RawBatch(batch, np.arange(row, row + batch.num_rows))
            row += batch.num_rows


def _names(source: DatabaseSource) -> tuple[str, str]:
    """Project and data set."""
    parts = urlsplit(source.url)
    return parts.netloc, parts.path.strip("/")
