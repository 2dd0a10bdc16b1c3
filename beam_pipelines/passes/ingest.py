"""First pass: read, validate, and lay the rows down by the hash of their key."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from beam_pipelines.passes.validation import REJECT_TYPE, validate
from beam_pipelines.passes.workspace import Workspace, write_arrow
from beam_pipelines.sources.files import ReadUnit
from beam_pipelines.sources.table_origin import read_origin
from beam_pipelines.sources.tables import Table, TableName

NUM_BUCKETS = 1024
_CHUNK_ROWS = 1_000_000
_TASK_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class IngestTask:
    """Units of one table that a worker reads one after the other."""

    number: int
    """Position in the pass."""
    table: TableName
    """The table."""
    units: tuple[ReadUnit, ...]
    """What to read."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A file of validated rows in order of their bucket."""

    path: str
    """The Arrow file."""
    bucket_rows: tuple[int, ...]
    """Rows of each of the `NUM_BUCKETS` buckets."""


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """What one task read."""

    table: TableName
    """The table."""
    rows: int
    """Rows read, refused ones included."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Refused rows by reason."""
    example: str = ""
    """The first refused row, for the error message."""
    chunks: tuple[Chunk, ...] = ()
    """Where the good rows are."""


def ingest_tasks(units: Sequence[ReadUnit]) -> list[IngestTask]:
    """Puts small neighbouring units of a table together."""
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
    rows = 0
    refused: list[pa.Table] = []
    chunks: list[Chunk] = []
    waiting: list[pa.RecordBatch] = []
    for unit in task.units:
        for raw in read_origin(table, unit):
            good, bad = validate(table, unit.path, raw)
            rows += good.num_rows + bad.num_rows
            refused.append(bad)
            waiting.append(good)
            if sum(batch.num_rows for batch in waiting) >= _CHUNK_ROWS:
                chunks.append(_write_chunk(waiting, table.key, workspace.chunk(task.table, task.number, len(chunks))))
                waiting = []
    if waiting:
        chunks.append(_write_chunk(waiting, table.key, workspace.chunk(task.table, task.number, len(chunks))))
    rejected, example = _write_rejects(refused, rejects / f"{task.table}-{task.number:05d}.parquet")
    return IngestReport(table=task.table, rows=rows, rejected=rejected, example=example, chunks=tuple(chunks))


def _write_chunk(batches: list[pa.RecordBatch], key: str, path: Path) -> Chunk:
    table = pa.Table.from_batches(batches).combine_chunks()
    buckets = bucket_of(table.column(key).combine_chunks())
    write_arrow(path, table.take(pa.array(np.argsort(buckets, kind="stable"))))
    counts = np.bincount(buckets, minlength=NUM_BUCKETS)
    return Chunk(path=str(path), bucket_rows=tuple(int(n) for n in counts))


def bucket_of(keys: pa.StringArray) -> npt.NDArray[np.int16]:
    """`[rows] int16` bucket of each key; the same on every machine."""
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
    """Deals the buckets to partitions of nearly equal size: the largest first, to the smallest partition so far."""
    partitions: list[list[int]] = [[] for _ in range(num_partitions)]
    sizes = np.zeros(num_partitions, np.int64)
    for bucket in np.argsort(-bucket_rows, kind="stable"):
        smallest = int(np.argmin(sizes))
        partitions[smallest].append(int(bucket))
        sizes[smallest] += bucket_rows[bucket]
    return [sorted(buckets) for buckets in partitions]
