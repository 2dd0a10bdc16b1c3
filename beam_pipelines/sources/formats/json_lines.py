"""JSON Lines: one object a line."""

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json

from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile, column_sources, require_columns
from beam_pipelines.sources.formats.text import require_text, whole_file
from beam_pipelines.sources.opening import open_stream
from beam_pipelines.sources.python_values import array_of, arrow_type
from beam_pipelines.sources.tables import Table

NAME = "jsonl"
_BLOCK_BYTES = 1 << 24
_LINES_TO_TYPE = 1000


def units(table: Table, file: SourceFile) -> Iterator[ReadUnit]:
    """`contract.FileFormat.units`."""
    return whole_file(table, file, NAME)


def column_names(_table: Table, path: str) -> list[str]:
    """`contract.FileFormat.column_names`: the keys of the first thousand objects."""
    require_text(path, NAME)
    with open_stream(path) as stream:
        lines = stream.read(_BLOCK_BYTES).split(b"\n")[:_LINES_TO_TYPE]
    objects = [o for line in lines if isinstance(o := _json_or_none(line), dict)]
    return list(dict.fromkeys(key for o in objects for key in o))


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """`contract.FileFormat.read`."""
    require_text(unit.path, NAME)
    names = column_sources(table)
    row, types, rest = 1, None, b""
    with open_stream(unit.path) as stream:
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
    return pa.schema([(name, arrow_type([o.get(name) for o in objects])) for name in column_sources(table)])


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
