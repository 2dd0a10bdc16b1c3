"""Finds and reads a table, whatever the kind of its source."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass

from beam_pipelines.config.source_kinds import SOURCE_KINDS, needs_path
from beam_pipelines.engine import Engine
from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile, Store
from beam_pipelines.sources.tables import Table
from features.schema import fingerprint

_FILES = "beam_pipelines.sources.files"


@dataclass(frozen=True)
class TableOrigin:
    """A table and what it consists of."""

    table: Table
    """Its columns and source."""
    files: list[SourceFile]
    """Its files, or its one table of a database."""

    def fingerprint(self) -> str:
        """Changes with every name, size, time of modification or digest."""
        return fingerprint([[file.path, file.size, file.modified, file.digest] for file in self.files])

    def units(self, engine: Engine) -> Iterator[ReadUnit]:
        """Cuts the table into units that workers read.

        Raises:
            InputError: it is empty, cannot be read or lacks a column.
        """
        yield from _store(self.table).units(self.table, self.files, engine)


def find_origin(table: Table) -> TableOrigin:
    """Finds what the table consists of now.

    Raises:
        InputError: there is none, or it cannot be read.
        RecstackError: a server cannot be reached.
    """
    return TableOrigin(table, _store(table).find(table))


def read_origin(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """Reads a unit batch by batch.

    Raises:
        InputError: a file cannot be read, is damaged or lacks a column.
        RecstackError: a server cannot be reached any more.
    """
    yield from _store(table).read(table, unit)


def _store(table: Table) -> Store:
    source = table.source
    kind = source.database.kind if source.database.is_given else source.format
    name = SOURCE_KINDS[kind].module if source.database.is_given or not needs_path(kind) else _FILES
    module: Store = importlib.import_module(name)
    return module
