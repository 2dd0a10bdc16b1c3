"""The contracts of sources: find a table, divide it into units, and read the rows of a unit."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pipelines.config.source import TableName
from beam_pipelines.engine import Engine
from beam_pipelines.sources.tables import Table
from features.errors import InputError


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file of a table, or its table of a database."""

    path: str
    """Local path, URL in an object store, or the database table's name."""
    size: int
    """Bytes of a file, rows of a database table."""
    modified: float
    """Seconds since 1970-01-01 UTC; 0 of a database table."""
    digest: str = ""
    """Checksum of the rows of a database table."""


@dataclass(frozen=True, kw_only=True)
class ReadUnit:
    """What a worker reads at a time: a file, row groups of a Parquet file, or a range of a database table."""

    table: TableName
    """The table it belongs to."""
    path: str
    """The file, or the name of the database table."""
    format: str
    """Name of the source kind, never `auto`."""
    row_groups: tuple[int, ...] = ()
    """Row groups of a Parquet file."""
    first_row: int = 1
    """Number of the unit's first row in the file; the file's first row has number 1."""
    selection: str = ""
    """Range of a database table, in the database's own language."""
    size: int = 0
    """Estimated bytes; small units share a task."""


@dataclass(frozen=True)
class RawBatch:
    """Rows before conversion."""

    columns: pa.RecordBatch
    """The columns under their names in the table."""
    rows: npt.NDArray[np.int64]
    """`[rows]` number of each row in its file, from 1."""
    malformed: list[tuple[int, str, str]] = field(default_factory=list)
    """Lines that could not be parsed into a row: row number, reason and text."""
    continuation_lines: int = 0
    """Of a text file: lines that continue a row which began on an earlier line."""


class Store(Protocol):
    """A module that reads whole tables: files in general, a database, or a table that comes with a package."""

    def find(self, table: Table) -> list[SourceFile]:
        """What the table consists of now; a file's time or a database table's digest changes with every row.

        Raises:
            InputError: there is no such table, or a column is missing.
            RecstackError: the server cannot be reached.
        """
        ...

    def units(self, table: Table, found: list[SourceFile], engine: Engine, /) -> Iterator[ReadUnit]:
        """Cuts the table into units that are read in parallel; a store may copy the table with the engine first."""
        ...

    def read(self, table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
        """Reads a unit batch by batch.

        Raises:
            RecstackError: the server cannot be reached any more.
        """
        ...


class FileFormat(Protocol):
    """A module that reads files of one format."""

    def units(self, table: Table, file: SourceFile) -> Iterator[ReadUnit]:
        """Cuts a file that is not empty into units; `whole_file` is the least that a format needs."""
        ...

    def column_names(self, table: Table, path: str) -> list[str]:
        """The columns that a file has."""
        ...

    def read(self, table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
        """Reads a unit batch by batch."""
        ...


def column_sources(table: Table) -> list[str]:
    """The table's own names of the columns to read, each once."""
    return list(dict.fromkeys(column.source for column in table.columns))


def require_columns(table: Table, path: str, found: list[str]) -> None:
    """Checks that a source has the table's columns.

    Raises:
        InputError: one is missing, or there are two of that name.
    """
    for column in table.columns:
        if found.count(column.source) > 1:
            raise InputError(
                f"{path}: there are {found.count(column.source)} columns named {column.source!r}, so it is not clear "
                "which is meant; rename the others"
            )
        if column.source not in found:
            raise InputError(
                f"{path}: column {column.source!r} is missing, the columns are {', '.join(map(repr, found))}; "
                f"name the right one in pipeline.{table.name}.columns"
            )
