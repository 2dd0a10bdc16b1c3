"""First pass: reads and validates the tables, and stores the rows by the hash of their key."""

import time
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from beam_pipelines.config.source import TableName
from beam_pipelines.engine import run_pass
from beam_pipelines.passes.context import PassContext
from beam_pipelines.passes.rejects import Chunk, IngestReport, check_rejects
from beam_pipelines.passes.time_checks import TimeSummary
from beam_pipelines.passes.typed_columns import REJECT_TYPE, validate
from beam_pipelines.sources.contract import ReadUnit
from beam_pipelines.sources.ratings import rating_levels
from beam_pipelines.sources.table_origin import TableOrigin, read_origin
from beam_pipelines.sources.tables import Table
from beam_pipelines.workspace import Workspace, write_arrow

NUM_BUCKETS = 1024
_CHUNK_ROWS = 1_000_000
_TASK_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class IngestTask:
    """Units of one table that a worker reads in turn."""

    number: int
    """Position in the pass."""
    table: TableName
    """The table."""
    units: tuple[ReadUnit, ...]
    """What to read."""


@dataclass(frozen=True)
class TablesRead:
    """All tables, validated and stored as chunks."""

    reports: list[IngestReport]
    """One for each task."""
    counts: Mapping[str, int]
    """Rows read and refused, by table and reason."""

    def chunks(self, table: TableName) -> list[Chunk]:
        """The chunks of a table; empty if there is no such table."""
        return [chunk for report in self.reports if report.table == table for chunk in report.chunks]


def read_tables(origins: Sequence[TableOrigin], context: PassContext) -> TablesRead:
    """Runs the pass over all tables.

    Raises:
        InputError: a table cannot be read, holds no rows, or too many of its rows are refused.
    """
    units = [unit for origin in origins for unit in origin.units(context.engine)]
    tables = tuple(origin.table for origin in origins)
    work = partial(ingest, tables=tables, workspace=context.workspace, rejects=context.dataset.rejects)
    reports = run_pass("read", work, ingest_tasks(units), report=IngestReport, engine=context.engine)
    return TablesRead(reports, check_rejects(reports, tables, context.config.max_reject_ratio))


def ingest_tasks(units: Sequence[ReadUnit]) -> list[IngestTask]:
    """Groups small neighbouring units of a table into tasks."""
    groups: list[list[ReadUnit]] = []
    for unit in units:
        if groups and groups[-1][0].table == unit.table and sum(u.size for u in groups[-1]) + unit.size <= _TASK_BYTES:
            groups[-1].append(unit)
        else:
            groups.append([unit])
    return [IngestTask(number=n, table=g[0].table, units=tuple(g)) for n, g in enumerate(groups)]


def ingest(task: IngestTask, *, tables: tuple[Table, ...], workspace: Workspace, rejects: Path) -> IngestReport:
    """Reads a task's units and writes chunks and rejects.

    Args:
        task: what to read.
        tables: what the columns mean.
        workspace: where the chunks go.
        rejects: directory of the refused rows.

    Raises:
        InputError: a file is damaged, gone or lacks a column.
    """
    table = next(t for t in tables if t.name == task.table)
    rows, continuation_lines = 0, 0
    refused: list[pa.Table] = []
    chunks: list[Chunk] = []
    waiting: list[pa.RecordBatch] = []
    facts: list[tuple[TimeSummary, dict[str, int]]] = []
    for unit in task.units:
        for raw in read_origin(table, unit):
            good, bad = validate(table, unit.path, raw)
            rows += good.num_rows + bad.num_rows
            continuation_lines += raw.continuation_lines
            refused.append(bad)
            waiting.append(good)
            facts.append(_facts_of(good, table))
            if sum(batch.num_rows for batch in waiting) >= _CHUNK_ROWS:
                chunks.append(_write_chunk(waiting, table.key, workspace.chunk(task.table, task.number, len(chunks))))
                waiting = []
    if waiting:
        chunks.append(_write_chunk(waiting, table.key, workspace.chunk(task.table, task.number, len(chunks))))
    rejected, example = _write_rejects(refused, rejects / f"{task.table}-{task.number:05d}.parquet")
    return IngestReport(
        table=task.table,
        rows=rows,
        rejected=rejected,
        example=example,
        continuation_lines=continuation_lines,
        times=TimeSummary.merged(times for times, _ in facts),
        ratings=sum((Counter(ratings) for _, ratings in facts), Counter()),
        chunks=tuple(chunks),
    )


def _facts_of(good: pa.RecordBatch, table: Table) -> tuple[TimeSummary, dict[str, int]]:
    """The times and the ratings of a batch; nothing where the table has none."""
    named = {column.kind: good.column(column.name) for column in table.columns}
    times = named["time"].to_numpy() if "time" in named else np.zeros(0, np.int64)
    ratings = rating_levels(named["rating"].to_numpy()) if "rating" in named else {}
    return TimeSummary.of(times, time.time()), ratings


def _write_chunk(batches: list[pa.RecordBatch], key: str, path: Path) -> Chunk:
    table = pa.Table.from_batches(batches).combine_chunks()
    buckets = bucket_of(table.column(key).combine_chunks())
    write_arrow(path, table.take(pa.array(np.argsort(buckets, kind="stable"))))
    counts = np.bincount(buckets, minlength=NUM_BUCKETS)
    return Chunk(path=str(path), bucket_rows=tuple(int(n) for n in counts))


def bucket_of(keys: pa.StringArray) -> npt.NDArray[np.int16]:
    """`[rows] int16` bucket of each key, identical on every machine."""
    encoded = keys.dictionary_encode()
    distinct = encoded.dictionary.cast(pa.binary()).to_pylist()
    buckets = np.fromiter((zlib.crc32(value) % NUM_BUCKETS for value in distinct), np.int16, len(distinct))
    return buckets[encoded.indices.to_numpy()] if len(distinct) else np.zeros(0, np.int16)


def _write_rejects(refused: Iterable[pa.Table], path: Path) -> tuple[dict[str, int], str]:
    table = pa.concat_tables([REJECT_TYPE.empty_table(), *refused])
    if table.num_rows == 0:
        return {}, ""
    temporary = path.with_suffix(".tmp")
    pq.write_table(table, temporary)
    temporary.replace(path)
    counts = table.column("reason").value_counts()
    first = table.slice(0, 1).to_pylist()[0]
    rejected = {str(pair["values"]): int(pair["counts"]) for pair in counts.to_pylist()}
    return rejected, f"{first['file']} row {first['row']}: {first['reason']}, {first['value']!r}"


def assign_buckets(bucket_rows: npt.NDArray[np.int64], num_partitions: int) -> list[list[int]]:
    """Assigns buckets to partitions of nearly equal size: the largest bucket first, to the smallest partition."""
    partitions: list[list[int]] = [[] for _ in range(num_partitions)]
    sizes = np.zeros(num_partitions, np.int64)
    for bucket in np.argsort(-bucket_rows, kind="stable"):
        smallest = int(np.argmin(sizes))
        partitions[smallest].append(int(bucket))
        sizes[smallest] += bucket_rows[bucket]
    return [sorted(buckets) for buckets in partitions]
