"""A table's origin, files or a database, behind the same three questions: what is there, in which units, which rows."""

import importlib
from collections.abc import Iterator

from beam_pipelines.passes.engine import Engine
from beam_pipelines.sources.files import ReadUnit, SourceFile, find_files, read_units
from beam_pipelines.sources.readers import RawBatch, read_unit
from beam_pipelines.sources.stores.config import StoreKind
from beam_pipelines.sources.stores.contract import Store
from beam_pipelines.sources.tables import Table

# Imported when a table needs it: each brings a driver along.
_STORES: dict[StoreKind, str] = {
    "postgresql": "sql",
    "mysql": "sql",
    "mongodb": "mongodb",
    "opensearch": "search",
    "elasticsearch": "search",
    "bigquery": "bigquery",
}


def find_origin(table: Table) -> list[SourceFile]:
    """The table's files, or its one table of a database.

    Raises:
        InputError: there is none, or it cannot be read.
        RecstackError: a server cannot be reached.
    """
    return [_store(table).find(table)] if table.source.database.is_given else find_files(table)


def origin_units(table: Table, found: list[SourceFile], engine: Engine) -> Iterator[ReadUnit]:
    """Cuts what was found into units that workers read.

    Raises:
        InputError: it is empty, cannot be read or lacks a column.
    """
    yield from _store(table).units(table, engine) if table.source.database.is_given else read_units(table, found)


def read_origin(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """Reads a unit batch by batch.

    Raises:
        InputError: a file cannot be read, is damaged or lacks a column.
        RecstackError: a server cannot be reached any more.
    """
    yield from _store(table).read(table, unit) if table.source.database.is_given else read_unit(table, unit)


def _store(table: Table) -> Store:
    module: Store = importlib.import_module(f"beam_pipelines.sources.stores.{_STORES[table.source.database.kind]}")
    return module
