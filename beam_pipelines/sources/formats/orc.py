"""ORC files."""

from collections.abc import Iterator

import pyarrow as pa
from pyarrow import orc

from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile
from beam_pipelines.sources.formats.text import whole_file
from beam_pipelines.sources.formats.whole_tables import batches_of
from beam_pipelines.sources.nested import leaf_names
from beam_pipelines.sources.opening import open_file
from beam_pipelines.sources.tables import Table

NAME = "orc"


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
        return orc.ORCFile(file).read()
