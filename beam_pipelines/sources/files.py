"""`contract.Store` over files: found by name or pattern, each read by the module of its format."""

import importlib
import lzma
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa

from beam_pipelines.config import TableSource
from beam_pipelines.config.source import ROW_ORDER
from beam_pipelines.config.source_kinds import SOURCE_KINDS, formats_by_ending
from beam_pipelines.engine import Engine
from beam_pipelines.sources.contract import FileFormat, RawBatch, ReadUnit, SourceFile, column_sources
from beam_pipelines.sources.file_names import files_of, partition_values
from beam_pipelines.sources.opening import without_compression
from beam_pipelines.sources.partition_folders import files_in_range
from beam_pipelines.sources.shown_items import CLICKED, one_row_an_item
from beam_pipelines.sources.tables import ROW_NUMBER, Table
from features.disk.object_store import is_url, lost_store
from features.errors import InputError, first_line

_READ_ERRORS = (OSError, EOFError, UnicodeError, pa.ArrowException, zipfile.BadZipFile, lzma.LZMAError)


def find(table: Table) -> list[SourceFile]:
    """`contract.Store.find`: the files that the table's path means, in order of their names."""
    source = table.source
    files = files_of(source.path)
    if not files:
        raise InputError(f"pipeline.{table.name}.path = {source.path!r}: no such file; correct the path or the pattern")
    if source.timestamp_format == ROW_ORDER and len(files) > 1:
        raise InputError(
            f"pipeline.{table.name}: {len(files)} files, but the order of rows is that of one file; write them "
            "into one or name a time column"
        )
    return files_in_range(files, source, table.name) if source.first or source.last else files


def units(table: Table, found: list[SourceFile], _engine: Engine | None = None) -> Iterator[ReadUnit]:
    """`contract.Store.units`: as the files' formats cut them.

    Raises:
        InputError: a file is empty, cannot be read, has an unknown format or lacks a column.
    """
    for file in found:
        if file.size == 0:
            raise InputError(f"{file.path}: the file is empty")
        name = format_name(table.source, file.path)
        with reported(file.path, name):
            yield from _format(name).units(_without_partitions(table, file.path), file)


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """`contract.Store.read`.

    Raises:
        InputError: the file cannot be read, is damaged or lacks a column.
    """
    inside = _without_partitions(table, unit.path)
    with reported(unit.path, unit.format):
        for rows in _format(unit.format).read(inside, unit):
            source = table.source
            is_list = source.shown_items in rows.columns.schema.names
            raw = one_row_an_item(rows, source.shown_items, source.earlier_items) if is_list else rows
            yield raw if inside is table else _with_partitions(raw, table, unit.path)


def column_names(table: Table, unit: ReadUnit) -> list[str]:
    """The columns that a unit's file has.

    Raises:
        InputError: the file cannot be read.
    """
    with reported(unit.path, unit.format):
        names = _format(unit.format).column_names(table, unit.path)
    added = [CLICKED] if table.source.shown_items else []
    return list(dict.fromkeys([*names, *partition_values(unit.path), *added]))


def _without_partitions(table: Table, path: str) -> Table:
    """The table without the columns that only the names of the file's folders hold."""
    others = {*partition_values(path), ROW_NUMBER, *([CLICKED] if table.source.shown_items else [])}
    inside = tuple(column for column in table.columns if column.source not in others)
    # A table of nothing but folders' names is read for its number of rows.
    return table if len(inside) == len(table.columns) or not inside else replace(table, columns=inside)


def _with_partitions(raw: RawBatch, table: Table, path: str) -> RawBatch:
    folders = partition_values(path)
    columns, size = raw.columns, raw.columns.num_rows
    for name in column_sources(table):
        if name == ROW_NUMBER:
            columns = columns.append_column(name, pa.array(raw.rows))
        elif name not in columns.schema.names:
            columns = columns.append_column(name, pa.repeat(pa.scalar(folders[name], pa.string()), size))
    return replace(raw, columns=columns)


@contextmanager
def reported(path: str, format: str) -> Iterator[None]:
    """Turns what a library raises about a file into one line.

    Raises:
        InputError: the block raised an error of reading.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: the file is no longer there") from error
    except PermissionError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or first_line(error)}); mend its mode or choose another"
        ) from error
    except Exception as error:
        if is_url(path) and (lost := lost_store(path, error)) is not None:
            raise lost from error
        if not isinstance(error, _READ_ERRORS):
            raise
        raise InputError(f"{path}: cannot be read as {format} ({first_line(error)})") from error


def format_name(source: TableSource, path: str) -> str:
    """The format of a file: the table's own, or the one of the file's ending.

    Raises:
        InputError: the ending is unknown.
    """
    if source.format != "auto":
        return source.format
    endings = formats_by_ending()
    # A part of `log.parquet/` may have no ending of its own.
    for name in (path, source.path.rstrip("/*")):
        for ending, kind in endings.items():
            if without_compression(name).lower().endswith(ending):
                return kind
    raise InputError(f"{path}: unknown file format; expected {', '.join(endings)} or the source's `format`")


def _format(name: str) -> FileFormat:
    module: FileFormat = importlib.import_module(SOURCE_KINDS[name].module)
    return module
