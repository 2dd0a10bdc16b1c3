"""Lines with quotes, one by one: which of them are rows, which are parts of a row, and which open a quote in vain.

A quoted field may hold line breaks. A quote that is never closed would swallow all that follows up to the next quote,
so a field is accepted only if its quote is closed before a delimiter or the end of a line, and if none of the lines
inside it looks like a row of the table. Every line that is not accepted is refused as a row of its own.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from beam_pipelines.sources.dialects import BLANKS, Dialect

# A row that is longer is taken for one with a quote that nobody closed.
_LONGEST_ROW = 1 << 22
_SAMPLE_LINES, _SAMPLE_CHARACTERS = 100, 1 << 18
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?$")
_UNCLOSED = "a quote is opened and not closed"
_SWALLOWED = "inside quotes that go over lines which look like rows of their own"


@dataclass
class ParsedLines:
    """What became of the lines of a block."""

    columns: list[pa.Array]
    """One binary array a column, null where a field is empty."""
    refused: list[tuple[int, str, str]] = field(default_factory=list)
    """Refused rows: position among all rows of the block, from 0; reason; text."""
    continuation_lines: int = 0
    """Lines that continue a row which began on an earlier line."""

    @property
    def num_rows(self) -> int:
        """Rows, refused ones included."""
        return (len(self.columns[0]) if self.columns else 0) + len(self.refused)


def fields_of(text: str, dialect: Dialect) -> list[str]:
    """Cuts one row into its fields, as generously as Arrow does."""
    if dialect.delimiter == BLANKS:
        return text.split()
    if len(dialect.delimiter) > 1:
        return text.split(dialect.delimiter)
    csv.field_size_limit(2 * _LONGEST_ROW)
    reader = csv.reader(
        [text],
        delimiter=dialect.delimiter,
        quotechar=dialect.quote or None,
        escapechar=dialect.escape or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
    )
    try:
        return next(reader, [""])
    except csv.Error:
        return []


def ends_in_quotes(block: bytes, dialect: Dialect) -> bool:
    """Whether the last line of a block, which ends with a line feed, opens a quote and does not close it."""
    line = block[block[:-1].rfind(b"\n") + 1 :].decode("utf-8", "surrogateescape")
    return bool(dialect.quote) and dialect.quote in line and _RowEnds(dialect).find(line, 0)[0] < 0


def parse_quoted(block: bytes, width: int, dialect: Dialect, *, is_last: bool) -> tuple[ParsedLines, bytes]:
    """Parses a block of lines.

    Args:
        block: UTF-8; ends with a line feed.
        width: number of columns.
        dialect: delimiter, of one character, and quote.
        is_last: whether the file ends with the block.

    Returns:
        The rows, and the text of a row at the end of the block whose quote is still open.
    """
    text = block.decode("utf-8", "surrogateescape")
    ends, shape = _RowEnds(dialect), _Shape(text, width, dialect)
    rows: list[list[str]] = []
    refused: list[tuple[int, str, str]] = []
    continuation_lines, start = 0, 0
    while start < len(text):
        end, inside = ends.find(text, start)
        if end == _OPEN and not is_last and len(text) - start < _LONGEST_ROW:
            break
        is_closed = end >= 0
        end = end if is_closed else text.index("\n", start)
        lines = [line for line in text[start:end].split("\n") if line]
        number = len(rows) + len(refused)
        if not is_closed:
            refused.append((number, _UNCLOSED, lines[0]))
        elif any(map(shape.fits, inside)):
            refused += [(number + n, _SWALLOWED, line) for n, line in enumerate(lines)]
        elif lines:
            fields = fields_of(text[start:end], dialect)
            if len(fields) == width:
                rows.append(fields)
            else:
                refused.append((number, f"{len(fields)} fields, {width} expected", text[start:end]))
            continuation_lines += len(lines) - 1
        start = end + 1
    return ParsedLines(_columns(rows, width), refused, continuation_lines), text[start:].encode(
        "utf-8", "surrogateescape"
    )


def _columns(rows: Sequence[Sequence[str]], width: int) -> list[pa.Array]:
    columns = ([row[place] for row in rows] for place in range(width))
    return [pa.array([v.encode("utf-8", "surrogateescape") or None for v in c], pa.binary()) for c in columns]


# Where a row ends whose quote is still open at the end of the text, and one whose quote is closed in mid-word.
_OPEN, _BROKEN = -1, -2


class _RowEnds:
    """Finds the line feed that ends a row."""

    def __init__(self, dialect: Dialect) -> None:
        quote, escape = re.escape(dialect.quote), re.escape(dialect.escape)
        inner = f"[^{quote}{escape}]|{quote}{quote}" + (f"|{escape}[\\s\\S]" if escape else "")
        self._dialect = dialect
        self._quoted = re.compile(f"{quote}(?:{inner})*+{quote}") if quote else None
        self._stop = re.compile(f"{re.escape(dialect.delimiter)}|\\n")

    def find(self, text: str, start: int) -> tuple[int, list[str]]:
        """Position of the line feed, or `_OPEN` or `_BROKEN`; and what follows line breaks inside quotes."""
        place, inside = start, list[str]()
        while True:
            if self._quoted and text.startswith(self._dialect.quote, place):
                quoted = self._quoted.match(text, place)
                if quoted is None:
                    return _OPEN, inside
                place = quoted.end()
                goes_on = self._stop.match(text, place) is None
                if goes_on and "\n" in quoted.group():
                    return _BROKEN, inside
                inside += quoted.group()[1:-1].split("\n")[1:]
            stop = self._stop.search(text, place)
            if stop is None or stop.group() == "\n":
                return (stop.start() if stop else len(text)), inside
            place = stop.end()


class _Shape:
    """What the fields of most rows are like: whole columns of numbers, or of words without a space."""

    def __init__(self, text: str, width: int, dialect: Dialect) -> None:
        self._width, self._dialect = width, dialect
        lines = text[:_SAMPLE_CHARACTERS].split("\n")
        rows = [row for line in lines if len(row := fields_of(line, dialect)) == width][:_SAMPLE_LINES]
        columns = list(zip(*rows, strict=True)) or [()] * width
        self._numbers = [_mostly(_NUMBER.match(value) is not None for value in column) for column in columns]
        self._words = [_mostly(" " not in value for value in column) for column in columns]

    def fits(self, line: str) -> bool:
        """Whether a line looks like a row."""
        fields = fields_of(line, self._dialect)
        if len(fields) != self._width:
            return False
        number = (not is_number or _NUMBER.match(value) for value, is_number in zip(fields, self._numbers, strict=True))
        word = (not is_word or " " not in value for value, is_word in zip(fields, self._words, strict=True))
        return all(number) and all(word)


def _mostly(flags: Iterable[bool]) -> bool:
    several = list(flags)
    return bool(several) and sum(several) >= 0.9 * len(several)
