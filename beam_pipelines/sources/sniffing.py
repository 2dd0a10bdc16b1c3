"""How a text file is written: its encoding, delimiter, quotes, header and decimal mark, each with the reason.

Only files whose format has a delimiter are looked at; of others there is nothing to find out.
"""

import codecs
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from charset_normalizer import CharsetMatch, from_bytes

from beam_pipelines.config import TableSource
from beam_pipelines.sources import files
from beam_pipelines.sources.dialects import BLANKS, Dialect
from beam_pipelines.sources.formats.quoted_lines import fields_of
from beam_pipelines.sources.formats.text import text_blocks
from beam_pipelines.sources.opening import open_stream
from beam_pipelines.sources.tables import Table
from features.errors import InputError

_TEXT_FORMAT = "csv"
_SAMPLE_BYTES, _SAMPLE_LINES = 1 << 20, 500
_DELIMITERS = ("\t", ",", ";", "|", "::", "||", "^", "~", "\x01", " ", BLANKS)
_CONSISTENT = 0.9
_MOST_SKIPPED = 30
_NUMBER = re.compile(r"\s*[+-]?[\d.,]*\d[\d.,]*([eE][+-]?\d+)?\s*$")
# Encodings of texts without a byte order mark; of those that are equally likely, the first.
_ENCODINGS = ["cp1252", "latin_1", "cp1250", "cp1251", "koi8_r", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"]
_LATIN_ENCODINGS, _FOREIGN = ("cp1252", "latin_1", "cp1250"), 0.5
_WIDE_ENCODINGS = ("utf_16_le", "utf_16_be")


@dataclass(frozen=True)
class SniffedSource:
    """A table's source, completed by what its first file shows."""

    source: TableSource
    """Ready to be read; fields that were given stay as they were."""
    reasons: Mapping[str, str]
    """Why, by the name of each field that was found out and differs from its default."""
    has_header: bool = True
    """Whether the first line names the columns; if not, `source.header` holds `column_1` and so on."""

    @property
    def settings(self) -> dict[str, Any]:
        """The fields to be written into the configuration."""
        return {name: getattr(self.source, name) for name in self.reasons}


def sniff_source(source: TableSource) -> SniffedSource:
    """Looks at the beginning of a table's first file.

    Args:
        source: where the table lies; fields that differ from their defaults are believed.

    Raises:
        InputError: there is no such file, its ending is unknown and no format is given, or it cannot be read.
    """
    table = Table(name="interactions", source=source, columns=(), key="")
    found = files.find(table)
    path = found[0].path
    if found[0].size == 0:
        raise InputError(f"{path}: the file is empty")
    if files.format_name(source, path) != _TEXT_FORMAT:
        return SniffedSource(source, {})
    with files.reported(path, _TEXT_FORMAT):
        return _sniffed(source, path)


def _sniffed(source: TableSource, path: str) -> SniffedSource:
    reasons: dict[str, str] = {}
    if not source.encoding and (encoding := _encoding(path)):
        source = replace(source, encoding=encoding)
        reasons["encoding"] = "the bytes are no UTF-8, and the letters make sense in it"
    lines = list(itertools.islice(_lines(path, source), _SAMPLE_LINES))
    source, more = _with_dialect(source, path, lines)
    reasons |= more
    dialect = Dialect.of(source, path)
    rows = [fields_of(line, dialect) for line in lines if line]
    width = _modal(map(len, rows))[0]
    if not source.skip and (skip := _preamble(lines, dialect, width)):
        source = replace(source, skip=skip)
        reasons["skip"] = "lines above the table, of another number of fields"
        rows = [fields_of(line, dialect) for line in lines[skip:] if line]
    rows = [row for row in rows if len(row) == width]
    if source.header or not rows or _is_header(rows[0], rows[1:]):
        return SniffedSource(source, reasons)
    names = tuple(f"column_{n}" for n in range(1, width + 1))
    reasons["header"] = f"the first line reads as data: {', '.join(rows[0])}"
    return SniffedSource(replace(source, header=names), reasons, has_header=False)


def _lines(path: str, source: TableSource) -> Iterator[str]:
    for block in text_blocks(path, replace(source, skip=0), _SAMPLE_BYTES):
        yield from block.decode("utf-8", "replace").split("\n")[:-1]


def _encoding(path: str) -> str:
    """The encoding, or none for UTF-8 and for texts that begin with a byte order mark."""
    with open_stream(path) as stream:
        sample = stream.read(_SAMPLE_BYTES)
        while _is_utf8(sample) and (more := stream.read(_SAMPLE_BYTES)):
            sample = more
    if _is_utf8(sample) or sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ""
    if 4 * sample.count(0) > len(sample):
        return max(_WIDE_ENCODINGS, key=lambda name: sample.decode(name, "replace").count("\n")).replace("_", "-")
    telling = b"\n".join(line for line in sample.split(b"\n") if not line.isascii())[: 1 << 16]
    matches = list(from_bytes(telling, cp_isolation=_ENCODINGS))
    if _is_foreign(telling):
        matches = [match for match in matches if match.encoding not in _LATIN_ENCODINGS] or matches
    if not matches:
        return "latin-1"
    likely = {match.encoding for match in matches if _likelihood(match) == _likelihood(matches[0])}
    # Encodings that differ in other letters only make the same text of these.
    likely |= {name for name in _ENCODINGS if telling.decode(name, "replace") == str(matches[0])}
    return next((name for name in _ENCODINGS if name in likely), matches[0].encoding).replace("_", "-")


def _is_foreign(sample: bytes) -> bool:
    """Whether words are written in other than Latin letters, of which only some would lie outside ASCII."""
    words = [word for word in re.findall(rb"[A-Za-z\x80-\xff]+", sample) if not word.isascii()]
    outside = sum(len(re.findall(rb"[\x80-\xff]", word)) for word in words)
    return outside > _FOREIGN * sum(map(len, words))


def _likelihood(match: CharsetMatch) -> tuple[float, float]:
    return match.chaos, match.coherence


def _is_utf8(sample: bytes) -> bool:
    # The sample may end within a character.
    decoder = codecs.getincrementaldecoder("utf-8")()
    start = 0
    while start < min(4, len(sample)) and sample[start] & 0xC0 == 0x80:
        start += 1
    try:
        decoder.decode(sample[start:])
    except UnicodeDecodeError:
        return False
    return b"\x00\x00" not in sample and sample.count(0) * 10 <= len(sample)


def _with_dialect(source: TableSource, path: str, lines: Sequence[str]) -> tuple[TableSource, dict[str, str]]:
    filled = [line for line in lines if line.strip()]
    reasons = {}
    usual = Dialect.of(source, path).delimiter
    if not source.delimiter and filled:
        share, width, delimiter = _best_delimiter(source, path, filled)
        if delimiter != usual and share >= _CONSISTENT:
            source = replace(source, delimiter=delimiter)
            reasons["delimiter"] = f"cuts {share:.0%} of the lines into {width} fields"
    dialect = Dialect.of(source, path)
    if source.quote == "auto" and not dialect.quote and len(dialect.delimiter) == 1 and _are_quoted(filled, dialect):
        source = replace(source, quote='"')
        reasons["quote"] = "fields begin and end with it"
    if not source.escape and dialect.quote and any('\\"' in line for line in filled):
        source = replace(source, escape="\\")
        reasons["escape"] = "quotes inside fields follow a backslash"
    return source, reasons


def _best_delimiter(source: TableSource, path: str, lines: Sequence[str]) -> tuple[float, int, str]:
    """Share of the lines that it cuts alike, into how many fields, and the delimiter: the most consistent one."""
    scored = []
    in_columns = sum("  " in line for line in lines) > 0.5 * len(lines)
    for place, delimiter in enumerate(_DELIMITERS):
        if delimiter == " " and in_columns:
            # One blank of several would cut empty fields.
            continue
        dialect = Dialect.of(replace(source, delimiter=delimiter), path)
        widths = [len(fields_of(line, dialect)) for line in lines]
        width, count = _modal(widths)
        share = count / len(widths)
        if width > 1:
            # Of two that cut all lines alike, the one that cuts them into more fields; blanks are within texts too.
            # A header that another number of fields cuts is none: the delimiter is one within the fields.
            fits_first = width == len(source.header) if source.header else widths[0] == width
            scored.append(
                (
                    round(min(share, 0.98), 1),
                    delimiter not in (" ", BLANKS),
                    fits_first,
                    width,
                    -place,
                    share,
                    delimiter,
                )
            )
    if not scored:
        return 0.0, 1, ","
    *_, width, _, share, delimiter = max(scored)
    return share, width, delimiter


def _modal(widths: Any) -> tuple[int, int]:
    counts = Counter(widths)
    return counts.most_common(1)[0] if counts else (1, 0)


def _are_quoted(lines: Sequence[str], dialect: Dialect) -> bool:
    fields = [field for line in lines for field in fields_of(line, dialect)]
    quoted = [f for f in fields if len(f) > 1 and f.startswith('"') and f.endswith('"')]
    lone = [f for f in fields if f.count('"') % 2]
    return len(quoted) > 0.1 * len(fields) and not lone


def _preamble(lines: Sequence[str], dialect: Dialect, width: int) -> int:
    """How many lines come before the first one of the table's width; 0 if they are too many to be remarks."""
    first = next((n for n, line in enumerate(lines) if line and len(fields_of(line, dialect)) == width), 0)
    return first if width > 1 and first <= _MOST_SKIPPED else 0


def _is_header(first: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether a first line names the columns: no numbers, no repetitions, and unlike the values below."""
    if any(_NUMBER.match(field) for field in first):
        return False
    names = [field.strip() for field in first if field.strip()]
    columns = list(zip(*body, strict=True)) or [()] * len(first)
    over_numbers = any(sum(map(bool, map(_NUMBER.match, column))) > 0.9 * len(column) for column in columns if column)
    # The same name twice is a mistake above numbers, and a sign of data elsewhere.
    if not names or (len(set(names)) < len(names) and not over_numbers):
        return False
    comes_again = sum(name in column[:_SAMPLE_LINES] for name, column in zip(first, columns, strict=True) if name)
    return over_numbers or not comes_again
