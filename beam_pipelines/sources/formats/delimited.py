"""Text with a delimiter: CSV, TSV and their relatives.

Every line is a row, or part of a row that is counted: Arrow parses blocks of lines, and where it makes fewer rows than
there are lines, because a quote was opened, `quoted_lines` looks at each line.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.csv

from beam_pipelines.config import TableSource
from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile, column_sources, require_columns
from beam_pipelines.sources.dialects import BLANKS, Dialect
from beam_pipelines.sources.formats.quoted_lines import ParsedLines, ends_in_quotes, fields_of, parse_quoted
from beam_pipelines.sources.formats.text import text_blocks, whole_file
from beam_pipelines.sources.tables import Table
from features.errors import InputError

NAME = "csv"
_BLOCK_BYTES = 1 << 24
_LINE_FEED = 10
# Stand in for a delimiter of several bytes; whichever the text does not hold.
_STAND_INS = "\x1f\x1e\x1d\x1c\x01\x02\x03\x04"
_OTHER_DELIMITERS = ("::", ";", "\t", "|", ",", "^")
_AROUND_LINES, _AROUND_DELIMITERS = re.compile(rb"(?m)^[ \t]+|[ \t]+$"), re.compile(rb"[ \t]+")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?$")


def units(table: Table, file: SourceFile) -> Iterator[ReadUnit]:
    """`contract.FileFormat.units`."""
    return whole_file(table, file, NAME)


def column_names(table: Table, path: str) -> list[str]:
    """`contract.FileFormat.column_names`."""
    first = next(text_blocks(path, table.source, _BLOCK_BYTES), b"")
    return _header(first, table.source, Dialect.of(table.source, path))[0]


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """`contract.FileFormat.read`: every column as bytes, since later lines may not fit a type guessed by the first."""
    dialect = Dialect.of(table.source, unit.path)
    blocks = text_blocks(unit.path, table.source, _BLOCK_BYTES)
    header, body = _header(next(blocks, b""), table.source, dialect)
    _require_header(table, unit.path, header)
    names = column_sources(table)
    places = [header.index(name) for name in names]
    row, rest = 1, b""
    for block, is_last in _with_last(itertools.chain([body], blocks)):
        parsed, rest = _parse(rest + block, len(header), dialect, is_last=is_last)
        numbers = np.arange(row, row + parsed.num_rows)
        row += parsed.num_rows
        refused = [(int(numbers[place]), reason, text) for place, reason, text in parsed.refused]
        kept = np.delete(numbers, [place for place, _, _ in parsed.refused])
        columns = pa.RecordBatch.from_arrays([parsed.columns[place] for place in places], names)
        yield RawBatch(columns, kept, refused, parsed.continuation_lines)


def _header(block: bytes, source: TableSource, dialect: Dialect) -> tuple[list[str], bytes]:
    """The names of the columns, and the lines below them."""
    if source.header:
        return list(source.header), block
    below = block.lstrip(b"\n")
    line, _, below = below.partition(b"\n")
    return [name.strip() for name in fields_of(_decoded_header(line), dialect)], below


def _decoded_header(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"the header {line.decode('utf-8', 'replace')!r} is not in utf-8; name the encoding by the source's "
            "`encoding`, such as latin-1 or cp1252"
        ) from error


def _require_header(table: Table, path: str, header: list[str]) -> None:
    try:
        require_columns(table, path, header)
    except InputError as error:
        if not table.source.header and any(_NUMBER.match(name) for name in header):
            raise InputError(
                f"{path}: the first line reads as data, not as the names of columns: {', '.join(header)}; name the "
                f"columns by `header` in pipeline.{table.name}"
            ) from error
        other = next((mark for mark in _OTHER_DELIMITERS if len(header) == 1 and mark in header[0]), "")
        if other:
            raise InputError(
                f"{path}: the header is one field, {header[0]!r}; set delimiter = {other!r} in pipeline.{table.name}"
            ) from error
        raise


def _with_last(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each block, and whether it is the last one."""
    iterator = iter(blocks)
    block = next(iterator, b"")
    for following in iterator:
        yield block, False
        block = following
    yield block, True


def _parse(block: bytes, width: int, dialect: Dialect, *, is_last: bool) -> tuple[ParsedLines, bytes]:
    """The rows of a block, and the beginning of one that goes on in the next block."""
    num_lines = _num_lines(block)
    if not num_lines:
        return ParsedLines([pa.array([], pa.binary())] * width), b""
    if len(dialect.delimiter.encode()) > 1:
        stand_in = next(c for c in _STAND_INS if c.encode() not in block)
        block = _with_delimiter(block, dialect.delimiter, stand_in.encode())
        dialect = replace(dialect, delimiter=stand_in)
    parsed = _by_arrow(block, width, dialect) if _is_utf8(block) else None
    # Arrow takes a quote that is open at the end of the block for a closed one.
    if parsed is not None and parsed.num_rows == num_lines and not ends_in_quotes(block, dialect):
        return parsed, b""
    return parse_quoted(block, width, dialect, is_last=is_last)


def _with_delimiter(block: bytes, delimiter: str, stand_in: bytes) -> bytes:
    if delimiter != BLANKS:
        return block.replace(delimiter.encode(), stand_in)
    return _AROUND_DELIMITERS.sub(stand_in, _AROUND_LINES.sub(b"", block))


def _is_utf8(block: bytes) -> bool:
    """Arrow would drop a line of the wrong number of fields without calling our handler if it is not."""
    try:
        return block.isascii() or bool(block.decode())
    except UnicodeDecodeError:
        return False


def _num_lines(block: bytes) -> int:
    """Lines that are not empty."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _LINE_FEED)
    return int((np.diff(ends, prepend=-1) > 1).sum())


def _by_arrow(block: bytes, width: int, dialect: Dialect) -> ParsedLines | None:
    """The rows as Arrow sees them, none if it cannot parse the block."""
    refused: list[tuple[int, str, str]] = []

    def refuse(row: pa.csv.InvalidRow) -> str:
        refused.append((row.number - 1, f"{row.actual_columns} fields, {row.expected_columns} expected", row.text))
        return "skip"

    names = [str(place) for place in range(width)]
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(block),
            # One block for the whole text: a row may not straddle two.
            pa.csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
            pa.csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote or False,
                escape_char=dialect.escape or False,
                invalid_row_handler=refuse,
            ),
            pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.binary()), null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowException:
        return None
    return ParsedLines([column.combine_chunks() for column in table.columns], refused)
