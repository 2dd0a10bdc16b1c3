"""Files to Arrow record batches that still have the table's own column names and types."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from beam_pipelines.sources.files import ReadUnit, first_line, open_file, require_columns
from beam_pipelines.sources.tables import Table
from features.errors import InputError

_BATCH_ROWS = 1 << 17
_BLOCK_BYTES = 1 << 24
_LINES_TO_TYPE = 1000
_HEAD_BYTES = 1 << 12
# Spreadsheets and archives, UTF-16, gzip, Parquet, older spreadsheets.
_OTHER_THAN_TEXT = (b"PK\x03\x04", b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b", b"PAR1", b"\xd0\xcf\x11\xe0")


@dataclass(frozen=True)
class RawBatch:
    """Rows as the file has them."""

    columns: pa.RecordBatch
    """The table's columns under their own names."""
    rows: npt.NDArray[np.int64]
    """`[rows]` number of each row in its file, from 1."""
    malformed: list[tuple[int, str, str]] = field(default_factory=list)
    """Rows that are not even rows: number, reason and text."""


def read_unit(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """Reads a unit batch by batch.

    Raises:
        InputError: the file cannot be read, is damaged or lacks a column.
    """
    readers = {"parquet": _read_parquet, "csv": _read_csv, "jsonl": _read_json_lines, "movielens": _read_movielens}
    try:
        yield from readers[unit.format](table, unit)
    except FileNotFoundError as error:
        raise InputError(f"{unit.path}: the file is no longer there") from error
    except (OSError, EOFError, UnicodeDecodeError, pa.ArrowException) as error:
        raise InputError(f"{unit.path}: cannot be read as {unit.format} ({first_line(error)})") from error


def column_names(unit: ReadUnit) -> list[str]:
    """The columns that a unit's file has.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return _column_names(unit)
    except (OSError, EOFError, UnicodeDecodeError, pa.ArrowException) as error:
        raise InputError(f"{unit.path}: cannot be read as {unit.format} ({first_line(error)})") from error


def _column_names(unit: ReadUnit) -> list[str]:
    if unit.format == "parquet":
        with open_file(unit.path) as file, pq.ParquetFile(file) as parquet:
            return list(parquet.schema_arrow.names)
    _require_text(unit)
    with _open_stream(unit.path) as stream:
        if unit.format == "csv":
            parse = pa.csv.ParseOptions(delimiter=_delimiter(unit.path), newlines_in_values=True)
            return list(pa.csv.open_csv(stream, parse_options=parse).schema.names)
        lines = stream.read(_BLOCK_BYTES).split(b"\n")[:_LINES_TO_TYPE]
    objects = [o for line in lines if isinstance(o := _json_or_none(line), dict)]
    return list(dict.fromkeys(key for o in objects for key in o))


def _delimiter(path: str) -> str:
    return "\t" if path.removesuffix(".gz").endswith(".tsv") else ","


def _names(table: Table) -> list[str]:
    return list(dict.fromkeys(column.source for column in table.columns))


def _read_parquet(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    row = unit.first_row
    with open_file(unit.path) as file, pq.ParquetFile(file) as parquet:
        groups = list(unit.row_groups)
        for batch in parquet.iter_batches(_BATCH_ROWS, row_groups=groups, columns=_names(table)):
            yield RawBatch(batch, np.arange(row, row + batch.num_rows))
            row += batch.num_rows


def _require_text(unit: ReadUnit) -> None:
    """Refuses what is no text, such as a spreadsheet or UTF-16: Arrow would look for commas in it."""
    with _open_stream(unit.path) as stream:
        head = stream.read(_HEAD_BYTES)
    # A zero byte alone is one bad value in a text.
    if head.startswith(_OTHER_THAN_TEXT) or 10 * head.count(0) > len(head):
        raise InputError(
            f"{unit.path}: is no text in UTF-8 (it begins with the bytes {head[:4].hex(' ')}); save it as "
            f"{unit.format} in UTF-8, or name its format by the source's `format`"
        )


def _open_stream(path: str) -> pa.NativeFile:
    file = open_file(path)
    return pa.CompressedInputStream(file, "gzip") if path.endswith(".gz") else file


def _read_csv(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    malformed: list[tuple[int, str, str]] = []

    def note(row: pa.csv.InvalidRow) -> str:
        reason = f"{row.actual_columns} fields, {row.expected_columns} expected"
        malformed.append((row.number - 1, reason, row.text))
        return "skip"

    _require_text(unit)
    names = _names(table)
    # Everything is read as bytes: types that Arrow guesses from the first block may not fit the next one.
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.binary()), null_values=[""], strings_can_be_null=True
    )
    with _open_stream(unit.path) as stream:
        reader = pa.csv.open_csv(
            stream,
            pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            pa.csv.ParseOptions(delimiter=_delimiter(unit.path), newlines_in_values=True, invalid_row_handler=note),
            convert,
        )
        require_columns(table, unit.path, reader.schema.names)
        row = 1
        for batch in reader:
            refused, malformed[:] = list(malformed), []
            numbers = np.arange(row, row + batch.num_rows + len(refused))
            row += len(numbers)
            yield RawBatch(batch.select(names), np.setdiff1d(numbers, [r for r, _, _ in refused]), refused)


def _read_json_lines(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    _require_text(unit)
    names = _names(table)
    row, types, rest = 1, None, b""
    with _open_stream(unit.path) as stream:
        while block := stream.read(_BLOCK_BYTES):
            head, newline, rest = (rest + block).rpartition(b"\n")
            if newline:
                types = types or _json_types(table, unit.path, head)
                yield _json_batch(head, names, types, row)
                row += head.count(b"\n") + 1
    if rest.strip():
        yield _json_batch(rest, names, types or _json_types(table, unit.path, rest), row)


def _json_types(table: Table, path: str, block: bytes) -> pa.Schema:
    """Types of the columns by the first lines that are JSON objects; a column with mixed types is a string."""
    objects = [o for line in block.split(b"\n")[:_LINES_TO_TYPE] if isinstance(o := _json_or_none(line), dict)]
    if objects:
        require_columns(table, path, list(dict.fromkeys(key for o in objects for key in o)))
    return pa.schema([(name, _json_type([o.get(name) for o in objects])) for name in _names(table)])


def _json_type(values: list[Any]) -> pa.DataType:
    kinds = {type(value) for value in values if value is not None}
    by_kind = {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), list: pa.list_(pa.string())}
    if kinds == {int, float}:
        return pa.float64()
    return by_kind.get(kinds.pop(), pa.string()) if len(kinds) == 1 else pa.string()


def _json_or_none(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _json_batch(block: bytes, names: list[str], types: pa.Schema, row: int) -> RawBatch:
    lines = block.count(b"\n") + 1
    options = pa.json.ParseOptions(explicit_schema=types, unexpected_field_behavior="ignore")
    try:
        # One block for the whole text: a record may not straddle two.
        read = pa.json.ReadOptions(use_threads=False, block_size=len(block) + 1)
        table = pa.json.read_json(io.BytesIO(block), read, options)
        if table.num_rows == lines:
            batch = table.select(names).combine_chunks().to_batches()[0]
            return RawBatch(batch, np.arange(row, row + lines))
    except pa.ArrowInvalid:
        # A line that is no JSON or has another type than the first lines: line by line below, to find which.
        pass
    return _json_batch_by_line(block, names, row)


def _json_batch_by_line(block: bytes, names: list[str], row: int) -> RawBatch:
    objects: list[dict[str, Any]] = []
    rows: list[int] = []
    malformed: list[tuple[int, str, str]] = []
    for number, line in enumerate(block.split(b"\n"), row):
        value = _json_or_none(line)
        if isinstance(value, dict):
            objects.append(value)
            rows.append(number)
        elif line.strip():
            malformed.append((number, "not a JSON object", line.decode(errors="replace")))
    arrays = [array_of([o.get(name) for o in objects]) for name in names]
    return RawBatch(pa.RecordBatch.from_arrays(arrays, names), np.array(rows, np.int64), malformed)


def array_of(values: list[Any]) -> pa.Array:
    """An array of the values' own type, or of their texts where the types are mixed; lists become lists of texts."""
    if any(isinstance(value, list) for value in values):
        lists = [value if value is None or isinstance(value, list) else [value] for value in values]
        return pa.array([v and [_text(x) for x in v] for v in lists], pa.list_(pa.string()))
    kind = _json_type(values)
    if pa.types.is_string(kind):
        return pa.array([_text(value) for value in values], kind)
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, OverflowError):
        return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _read_movielens(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    frame = pd.read_pickle(unit.path, compression="xz")
    if table.name == "items":
        # The table has one row a rating; the films repeat.
        frame = frame.drop_duplicates("movieId")
    require_columns(table, unit.path, list(frame.columns))
    batch = pa.RecordBatch.from_pandas(frame[_names(table)], preserve_index=False)
    yield RawBatch(batch, np.arange(1, batch.num_rows + 1))
