"""Feather and Arrow files, with and without random access."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.ipc

from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile
from beam_pipelines.sources.formats.text import whole_file
from beam_pipelines.sources.formats.whole_tables import batches_of
from beam_pipelines.sources.nested import leaf_names
from beam_pipelines.sources.opening import open_file
from beam_pipelines.sources.tables import Table

NAME = "feather"


def units(table: Table, file: SourceFile) -> Iterator[ReadUnit]:
    """`contract.FileFormat.units`."""
    return whole_file(table, file, NAME)


def column_names(_table: Table, path: str) -> list[str]:
    """`contract.FileFormat.column_names`."""
    return leaf_names(_load(path).schema)


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """`contract.FileFormat.read`."""
    return batches_of(table, unit.path, _load(unit.path))


def _load(path: str) -> pa.Table:
    with open_file(path) as file:
        try:
            return pa.ipc.open_file(file).read_all()
        except pa.ArrowInvalid:
            file.seek(0)
            return pa.ipc.open_stream(file).read_all()
