"""Encoded events on disk: one file a column, of which ranges of records are read, so that memory stays bounded."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from features.disk.files import staged_directory, write_text_atomically
from features.errors import InputError
from features.schema import Schema
from trainer.data.events import LENGTH, Array, Columns, EncodedEvents, Int64, assemble_events, is_of_records

_INDEX = "columns.json"
# Consecutive users with about so many events are read at once: far fewer reads, and the next epoch mixes them anew.
_EVENTS_A_CHUNK = 1024


@dataclass(frozen=True, kw_only=True)
class _Column:
    """One column's file: rows of one type and shape, one after the other."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    """Of one row."""
    rows: int

    @property
    def row_bytes(self) -> int:
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))

    def read(self, ranges: Int64) -> Array:
        """The rows of `ranges [n, 2] int64`, first and one past the last, one range after the other."""
        sizes = ranges[:, 1] - ranges[:, 0]
        rows: Array = np.empty((int(sizes.sum()), *self.shape), self.dtype)
        buffer = rows.reshape(-1).view(np.uint8).data
        place = 0
        with self.path.open("rb", buffering=0) as file:
            for first, size in zip(ranges[:, 0].tolist(), (sizes * self.row_bytes).tolist(), strict=True):
                file.seek(first * self.row_bytes)
                _fill(file, buffer[place : place + size])
                place += size
        return rows


@dataclass(frozen=True, kw_only=True)
class StoredEvents:
    """The events of a split, or of a worker's shards of it, on disk."""

    schema: Schema
    """Schema of the dataset."""
    columns: Mapping[str, _Column] = field(repr=False)
    """The files by column."""
    record_splits: Int64 = field(repr=False)
    """`[records + 1]`: the events of record r are `record_splits[r]` up to `record_splits[r + 1]`."""
    chunks: Int64 = field(repr=False)
    """`[chunks + 1]`: the records of chunk c, which are read together, are `chunks[c]` up to `chunks[c + 1]`."""
    change: Callable[[EncodedEvents], EncodedEvents] | None = field(default=None, repr=False)
    """What is done to events that were read, such as to weigh them by their age."""

    def __len__(self) -> int:
        return int(self.record_splits[-1])

    @property
    def num_chunks(self) -> int:
        """Stretches of about a thousand events, each of whole records."""
        return len(self.chunks) - 1

    def read(self, chunks: Int64) -> EncodedEvents:
        """The events of some chunks, `[n] int64`, in this order."""
        records = np.stack([self.chunks[chunks], self.chunks[chunks + 1]], axis=1)
        events = self.record_splits[records]
        columns = {name: column.read(_ranges(name, records, events)) for name, column in self.columns.items()}
        events_read = assemble_events(columns, self.schema)
        return events_read if self.change is None else self.change(events_read)

    def time_span(self, block_events: int) -> tuple[int, int]:
        """Times of the first and of the last event; read so many events at a time."""
        spans = []
        for chunks in self.blocks(block_events):
            times = self.read(chunks).timestamp
            spans += [times.min(), times.max()] if len(times) else []
        return int(min(spans, default=0)), int(max(spans, default=0))

    def blocks(self, events: int) -> Iterator[Int64]:
        """The numbers of all chunks in order, those of about so many events at a time."""
        starts = self.record_splits[self.chunks[:-1]]
        yield from np.split(np.arange(self.num_chunks), np.flatnonzero(np.diff(starts // events)) + 1)


def store_events(directory: Path, batches: Iterable[Columns], schema: Schema) -> StoredEvents:
    """Writes encoded events, a batch at a time, and opens them; what the directory already holds is kept.

    Args:
        directory: of the columns; appears whole or not at all.
        batches: of whole records, as `encoded_batches` yields them; not iterated over if the directory exists.
        schema: Schema of the dataset.
    """
    if not (directory / _INDEX).exists():
        with staged_directory(directory) as staging:
            _write(staging, batches)
    return _open(directory, schema)


def _write(directory: Path, batches: Iterable[Columns]) -> None:
    with ExitStack() as opened:
        files: dict[str, BinaryIO] = {}
        index: dict[str, dict[str, object]] = {}
        for batch in batches:
            for name, values in batch.items():
                if name not in files:
                    path = directory / f"{len(files):03}.bin"
                    files[name] = opened.enter_context(path.open("wb"))
                    index[name] = {"file": path.name, "dtype": values.dtype.str, "shape": values.shape[1:]}
                files[name].write(np.ascontiguousarray(values).data)
    write_text_atomically(directory / _INDEX, json.dumps(index, indent=1) + "\n")


def _open(directory: Path, schema: Schema) -> StoredEvents:
    index = json.loads((directory / _INDEX).read_text("utf-8"))
    columns = {name: _column(directory, **entry) for name, entry in index.items()}
    length = columns[LENGTH]
    lengths = np.fromfile(length.path, length.dtype).astype(np.int64)
    record_splits = np.concatenate([[0], np.cumsum(lengths)])
    for name, column in columns.items():
        expected = len(lengths) if is_of_records(name) else int(record_splits[-1])
        if column.rows != expected:
            raise InputError(
                f"{column.path}: {expected} rows expected, {column.rows} found; delete {directory} and run "
                "`recstack train` again"
            )
    ends = np.arange(_EVENTS_A_CHUNK, record_splits[-1] + _EVENTS_A_CHUNK, _EVENTS_A_CHUNK)
    chunks = np.unique(np.concatenate([[0], np.searchsorted(record_splits[:-1], ends), [len(lengths)]]))
    return StoredEvents(schema=schema, columns=columns, record_splits=record_splits, chunks=chunks.astype(np.int64))


def _column(directory: Path, file: str, dtype: str, shape: list[int]) -> _Column:
    path = directory / file
    row_bytes = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
    rows = path.stat().st_size // row_bytes if row_bytes else 0
    return _Column(path=path, dtype=dtype, shape=tuple(shape), rows=rows)


def _ranges(column: str, records: Int64, events: Int64) -> Int64:
    return records if is_of_records(column) else events


def _fill(file: BinaryIO, buffer: memoryview) -> None:
    while len(buffer):
        count = file.readinto(buffer)  # type: ignore[attr-defined]
        if not count:
            raise InputError(f"{file.name}: ends too early; delete its directory and run `recstack train` again")
        buffer = buffer[count:]
