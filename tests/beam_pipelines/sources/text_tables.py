"""Text files of many kinds, read as `prepare` reads them."""

import bz2
import csv
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from beam_pipelines.config import TableSource
from beam_pipelines.sources import files
from beam_pipelines.sources.tables import Column, Table

Rows = list[list[str]]


def _zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("folder/", b"")
        archive.writestr("folder/t.csv", data)
        archive.writestr("__MACOSX/._t.csv", b"\0\0")
    return buffer.getvalue()


COMPRESSIONS: Mapping[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
    ".xz": lzma.compress,
    ".zip": _zipped,
}


@dataclass
class Found:
    """What the reader made of a file."""

    rows: list[list[str | bytes | None]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    refused: list[tuple[int, str, str]] = field(default_factory=list)
    continuation_lines: int = 0

    @property
    def num_lines(self) -> int:
        return len(self.rows) + len(self.refused) + self.continuation_lines


def table_of(path: Path, names: Sequence[str], **source: Any) -> Table:
    columns = tuple(Column(name=f"c{n}", source=name, kind="text") for n, name in enumerate(names))
    return Table(name="items", source=TableSource(path=str(path), **source), columns=columns, key="c0")


def read(path: Path, names: Sequence[str], **source: Any) -> Found:
    table = table_of(path, names, **source)
    table.source.check("pipeline.items")
    found = Found()
    for unit in files.units(table, files.find(table)):
        for raw in files.read(table, unit):
            found.rows += [[_decoded(v) for v in row.values()] for row in raw.columns.to_pylist()]
            found.numbers += raw.rows.tolist()
            found.refused += raw.malformed
            found.continuation_lines += raw.continuation_lines
    return found


def _decoded(value: Any) -> Any:
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def csv_text(rows: Rows, *, delimiter: str = ",", quote: str = '"', line_end: str = "\n") -> str:
    """What a spreadsheet program would write."""
    if len(delimiter) > 1 or not quote:
        return "".join(delimiter.join(row) + line_end for row in rows)
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, quotechar=quote, lineterminator=line_end).writerows(rows)
    return buffer.getvalue()
