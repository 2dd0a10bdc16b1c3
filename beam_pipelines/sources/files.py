"""`contract.Store` over files: found by name or pattern, each read by the module of its format."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.config import TableSource
from beam_pipelines.config.source_kinds import SOURCE_KINDS, formats_by_ending
from beam_pipelines.engine import Engine
from beam_pipelines.sources.contract import FileFormat, RawBatch, ReadUnit, SourceFile
from beam_pipelines.sources.opening import without_compression
from beam_pipelines.sources.partition_folders import files_in_range
from beam_pipelines.sources.tables import Table
from features.errors import InputError, first_line

_READ_ERRORS = (OSError, EOFError, UnicodeDecodeError, pa.ArrowException)


def find(table: Table) -> list[SourceFile]:
    """`contract.Store.find`: the files that the table's path names, in order of their names."""
    source = table.source
    if Path(source.path).is_file() and not (source.first or source.last):
        return [local_file(source.path)]
    files = [
        SourceFile(path=found.path, size=found.size_in_bytes, modified=found.last_updated_in_seconds or 0.0)
        for found in FileSystems.match([source.path])[0].metadata_list
    ]
    if not files:
        raise InputError(f"pipeline.{table.name}.path = {source.path!r}: no such file; correct the path or the pattern")
    chosen = files_in_range(files, source, table.name) if source.first or source.last else files
    return sorted(chosen, key=lambda file: file.path)


def local_file(path: str) -> SourceFile:
    """A file of this machine as it is now."""
    status = Path(path).stat()
    return SourceFile(path=path, size=status.st_size, modified=status.st_mtime)


def units(table: Table, found: list[SourceFile], _engine: Engine | None = None) -> Iterator[ReadUnit]:
    """`contract.Store.units`: as the files' formats cut them.

    Raises:
        InputError: a file is empty, cannot be read, has an unknown format or lacks a column.
    """
    for file in found:
        if file.size == 0:
            raise InputError(f"{file.path}: the file is empty")
        name = format_name(table.source, file.path)
        with _reported(file.path, name):
            yield from _format(name).units(table, file)


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """`contract.Store.read`.

    Raises:
        InputError: the file cannot be read, is damaged or lacks a column.
    """
    with _reported(unit.path, unit.format):
        yield from _format(unit.format).read(table, unit)


def column_names(table: Table, unit: ReadUnit) -> list[str]:
    """The columns that a unit's file has.

    Raises:
        InputError: the file cannot be read.
    """
    with _reported(unit.path, unit.format):
        return _format(unit.format).column_names(table, unit.path)


@contextmanager
def _reported(path: str, format: str) -> Iterator[None]:
    """Turns what a library raises about a file into one line."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: the file is no longer there") from error
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); mend its mode or choose another") from error
    except _READ_ERRORS as error:
        raise InputError(f"{path}: cannot be read as {format} ({first_line(error)})") from error


def format_name(source: TableSource, path: str) -> str:
    """The format of a file: the table's own, or the one of the file's ending.

    Raises:
        InputError: the ending is unknown.
    """
    if source.format != "auto":
        return source.format
    name = without_compression(path)
    endings = formats_by_ending()
    for ending, kind in endings.items():
        if name.endswith(ending):
            return kind
    raise InputError(f"{path}: unknown file format; expected {', '.join(endings)} or the source's `format`")


def _format(name: str) -> FileFormat:
    module: FileFormat = importlib.import_module(SOURCE_KINDS[name].module)
    return module
