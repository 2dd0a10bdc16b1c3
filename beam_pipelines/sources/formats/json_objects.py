"""JSON: one object a line, or objects over several lines, in an array or one after the other."""

import ast
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json

from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile, column_sources, require_columns
from beam_pipelines.sources.formats.text import text_blocks, whole_file
from beam_pipelines.sources.json_tables import rows_of
from beam_pipelines.sources.nested import column_of
from beam_pipelines.sources.python_values import (
    Document,
    array_of,
    arrow_type,
    field_names,
    field_of,
    require_no_objects,
)
from beam_pipelines.sources.tables import Table
from features.errors import InputError

NAME = "jsonl"
_BLOCK_BYTES = 1 << 24
_OBJECTS_TO_TYPE = 1000
_BATCH_OBJECTS = 50_000
_DECODER = json.JSONDecoder()


def units(table: Table, file: SourceFile) -> Iterator[ReadUnit]:
    """`contract.FileFormat.units`."""
    return whole_file(table, file, NAME)


def column_names(table: Table, path: str) -> list[str]:
    """`contract.FileFormat.column_names`: the dotted paths of the fields of the first thousand objects."""
    blocks = text_blocks(path, table.source, _BLOCK_BYTES)
    first = next(blocks, b"")
    if _is_lines(first):
        objects: Iterable[Any] = (_object_of(line) for line in first.split(b"\n"))
    else:
        objects = _objects_of(b"".join(chain([first], blocks)), path)
    return field_names([o for o in islice(objects, _OBJECTS_TO_TYPE) if isinstance(o, dict)])


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """`contract.FileFormat.read`."""
    blocks = text_blocks(unit.path, table.source, _BLOCK_BYTES)
    first = next(blocks, b"")
    if _is_lines(first):
        yield from _read_lines(table, unit.path, chain([first], blocks))
    else:
        yield from _read_objects(table, unit.path, _objects_of(b"".join(chain([first], blocks)), unit.path))


def _is_lines(first: bytes) -> bool:
    """Whether one of the first two lines is an object by itself, or nothing in the block begins like JSON."""
    lines = [line for line in first[:_BLOCK_BYTES].split(b"\n", 50) if line.strip()][:2]
    objects = [o for line in lines if isinstance(o := _object_of(line), dict)]
    if len(lines) == 1 and objects and rows_of(objects[0]):
        return False
    return bool(objects) or not first.lstrip().startswith((b"{", b"["))


def _object_of(line: bytes) -> Any:
    """The object of a line of JSON, or of Python's own notation, which some published logs are in; else None."""
    try:
        return json.loads(line)
    except ValueError:
        pass
    try:
        return ast.literal_eval(line.decode().strip()) if line.lstrip().startswith(b"{") else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _read_lines(table: Table, path: str, blocks: Iterable[bytes]) -> Iterator[RawBatch]:
    row, types = 1, None
    for block in blocks:
        types = types or _types(table, path, block)
        yield _by_arrow(block, table, types, row) or _by_line(block, table, row)
        row += block.count(b"\n")


def _types(table: Table, path: str, block: bytes) -> pa.Schema:
    """Types of the columns by the first lines that are objects; a column of mixed types is a string."""
    found = (_object_of(line) for line in block.split(b"\n", _OBJECTS_TO_TYPE)[:_OBJECTS_TO_TYPE])
    objects = [o for o in found if isinstance(o, dict)]
    _require_fields(table, path, objects)
    return _schema(column_sources(table), objects)


def _require_fields(table: Table, path: str, objects: Sequence[Document]) -> None:
    if objects:
        keys = (key for o in objects for key in o)
        require_columns(table, path, list(dict.fromkeys([*field_names(objects), *keys])))
        require_no_objects(table, path, objects)


def _schema(names: Sequence[str], objects: Sequence[Document]) -> pa.Schema:
    """Arrow's types of the fields with the dotted names; parts of one object are fields of one structure."""
    fields: dict[str, list[str]] = {}
    for name in names:
        head, dot, rest = name.partition(".")
        if not dot or any(name in o for o in objects):
            fields[name] = []
        else:
            fields.setdefault(head, []).append(rest)
    types = []
    for head, parts in fields.items():
        values = [o.get(head) for o in objects]
        inner = [value for value in values if isinstance(value, dict)]
        types.append((head, pa.struct(list(_schema(parts, inner))) if parts else arrow_type(values)))
    return pa.schema(types)


def _by_arrow(block: bytes, table: Table, types: pa.Schema, row: int) -> RawBatch | None:
    """The lines of a block, or None where one is no object or has another type than the first lines."""
    options = pa.json.ParseOptions(explicit_schema=types, unexpected_field_behavior="ignore")
    lines = block.count(b"\n")
    try:
        # One block for the whole text: a record may not straddle two.
        read_options = pa.json.ReadOptions(use_threads=False, block_size=len(block) + 1)
        found = pa.json.read_json(pa.BufferReader(block), read_options, options)
    except pa.ArrowInvalid:
        return None
    if found.num_rows != lines:
        return None
    names = column_sources(table)
    arrays = [column_of(found, name) for name in names]
    return RawBatch(pa.RecordBatch.from_arrays(arrays, names), np.arange(row, row + lines))


def _by_line(block: bytes, table: Table, row: int) -> RawBatch:
    lines = enumerate(block.split(b"\n")[:-1], row)
    return _batch(table, ((number, _object_of(line), line) for number, line in lines if line.strip()))


def _batch(table: Table, rows: Iterable[tuple[int, Any, bytes]]) -> RawBatch:
    objects: list[Document] = []
    numbers: list[int] = []
    malformed: list[tuple[int, str, str]] = []
    for number, value, text in rows:
        if isinstance(value, dict):
            objects.append(value)
            numbers.append(number)
        else:
            malformed.append((number, "not a JSON object", text.decode(errors="replace")))
    names = column_sources(table)
    arrays = [array_of([field_of(o, name) for o in objects]) for name in names]
    return RawBatch(pa.RecordBatch.from_arrays(arrays, names), np.array(numbers, np.int64), malformed)


def _read_objects(table: Table, path: str, objects: Iterator[Any]) -> Iterator[RawBatch]:
    first = list(islice(objects, _OBJECTS_TO_TYPE))
    _require_fields(table, path, [o for o in first if isinstance(o, dict)])
    numbered = enumerate(chain(first, objects), 1)
    while batch := list(islice(numbered, _BATCH_OBJECTS)):
        yield _batch(table, ((n, value, json.dumps(value, ensure_ascii=False).encode()) for n, value in batch))


def _objects_of(data: bytes, path: str) -> Iterator[Any]:
    """The entries of the arrays of a text, or its objects; of a single object that holds a table, its rows.

    Raises:
        InputError: the text is not JSON.
    """
    text = data.decode()
    place = 0
    several: list[Any] = []
    while (place := _after_space(text, place)) < len(text):
        try:
            value, place = _DECODER.raw_decode(text, place)
        except ValueError as error:
            line = text.count("\n", 0, getattr(error, "pos", place)) + 1
            raise InputError(f"{path}: line {line}: cannot be read as JSON ({error}); mend the file") from error
        several += value if isinstance(value, list) else [value]
    rows = rows_of(several[0]) if len(several) == 1 and isinstance(several[0], dict) else None
    yield from rows or several


def _after_space(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\n,":
        place += 1
    return place
