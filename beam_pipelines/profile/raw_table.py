"""Profiles a raw table whose columns have no meaning yet: types, cardinalities, missing values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import TableSource
from beam_pipelines.config.source import TableName
from beam_pipelines.sources import files
from beam_pipelines.sources.contract import RawBatch, ReadUnit
from beam_pipelines.sources.list_texts import cut_lists, share_of_lists
from beam_pipelines.sources.numbers import DecimalMark, guess_decimal, parse_numbers
from beam_pipelines.sources.tables import Column, Table
from beam_pipelines.sources.texts import blank_missing, is_text, spell_ids, to_texts
from beam_pipelines.sources.vectors import is_list, parse_vectors
from features.errors import InputError

ProfiledKind: TypeAlias = Literal["integer", "number", "text", "boolean", "time", "list", "vector", "structure"]

MOST_ROWS = 2_000_000
_NUMBERS_AMONG_TEXTS = 0.99
_SAMPLE = 20_000
_MOST_REFUSED = 100
# As many digits as an int64 holds for certain.
_INT64 = r"^[+-]?([0-8]\d{18}|\d{1,18})$"
_DIGITS = r"^[+-]?\d+$"
_EXAMPLES = 3
_LISTS_LOOKED_AT, _MOST_LISTS = 2000, 0.95
_SHORTEST_VECTOR, _MOST_FRACTIONS = 3, 0.9
_FRACTION = r"(^|[\s,;|\[({])[+-]?\d*\.\d+([eE][+-]?\d+)?([\s,;|\])}]|$)"


@dataclass(frozen=True)
class ColumnProfile:
    """Profile of one column."""

    name: str
    """The table's own name."""
    kind: ProfiledKind
    """`integer` and `number` also for numbers in text files; `007` is a text."""
    values: pa.Array
    """`[rows]` int64, float64, string, a date or time type, or lists; null where missing."""
    raw: pa.Array | None = None
    """`[rows]` as the reader gave them."""
    decimal: DecimalMark = ""
    """The decimal mark that the numbers of a text column need; empty if any will do."""

    def ids(self, source: TableSource) -> pa.StringArray:
        """The values as `prepare` reads ids from them: `[rows]` texts, null where missing.

        Raises:
            NotImplementedError: the column holds lists or structures.
        """
        texts, _ = to_texts(self.values if self.raw is None else self.raw)
        spelt = spell_ids(blank_missing(texts, source.missing), source.ids)
        return pc.if_else(pc.equal(spelt, ""), None, spelt)

    @property
    def missing(self) -> float:
        """Share of rows without a value; an empty list counts as none."""
        nulls = self.values.null_count
        if self.kind in ("list", "vector"):
            nulls = len(self.values) - int(pc.sum(pc.greater(pc.list_value_length(self.values), 0)).as_py() or 0)
        return float(nulls) / max(len(self.values), 1)

    @cached_property
    def distinct(self) -> int:
        """Number of distinct values, or of distinct entries of lists and vectors."""
        if self.kind == "structure":
            return 0
        return int(pc.count_distinct(self.entries, mode="only_valid").as_py())

    @property
    def entries(self) -> pa.Array:
        """The values, or the entries of lists."""
        return self.values.flatten() if self.kind in ("list", "vector") else self.values

    @property
    def examples(self) -> tuple[str, ...]:
        """The first few distinct values."""
        if self.kind == "structure":
            return ()
        head = self.entries.slice(0, 10_000).drop_null().unique().slice(0, _EXAMPLES)
        return tuple(str(value) for value in head.to_pylist())


@dataclass(frozen=True)
class TableProfile:
    """Profile of a raw table, or of the part that was read."""

    name: TableName
    """Name of the table."""
    path: str
    """File name or pattern."""
    columns: tuple[ColumnProfile, ...]
    """In the order of the file."""
    num_rows: int
    """Rows that were read."""
    share: float
    """Share of the table's bytes that was read."""
    source: TableSource
    """How the table was read."""
    refused: tuple[str, ...] = ()
    """Lines that could not be parsed into rows, with file, row and reason; the first hundred."""
    num_refused: int = 0
    """How many there are."""
    continuation_lines: int = 0
    """Lines of text files that continue a row which began on an earlier line."""

    def column(self, name: str) -> ColumnProfile:
        """The column with the name.

        Raises:
            InputError: there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        known = ", ".join(repr(column.name) for column in self.columns)
        raise InputError(f"{self.path}: column {name!r} is missing, the columns are {known}")


def profile_table(name: TableName, source: TableSource, max_rows: int = MOST_ROWS) -> TableProfile:
    """Reads a table as `prepare` does, or parts of it that lie evenly over its files.

    Args:
        name: which of the three tables.
        source: where it lies, and how it is read.
        max_rows: about as many rows are read.

    Raises:
        InputError: there is no such table, it is of no known format, damaged, or empty.
    """
    nameless = Table(name=name, source=source, columns=(), key="")
    units = list(files.units(nameless, files.find(nameless)))
    names = [column for column in files.column_names(nameless, units[0]) if column]
    columns = tuple(Column(name=column, source=column, kind="text") for column in dict.fromkeys(names))
    table = Table(name=name, source=source, columns=columns, key="")
    batches: list[RawBatch] = []
    refused: list[str] = []
    num_rows, read = 0, 0
    for unit in _spread(units):
        if num_rows >= max_rows:
            break
        for raw in files.read(table, unit):
            batches.append(raw)
            num_rows += raw.columns.num_rows
            refused += [f"{unit.path} row {row}: {reason}, {text!r}" for row, reason, text in raw.malformed]
        read += unit.size
    if num_rows == 0:
        raise InputError(f"{source.path}: the files hold no rows; check what wrote them{_first_of(refused)}")
    return TableProfile(
        name=name,
        path=source.path,
        columns=tuple(_profile(c.source, [b.columns.column(c.source) for b in batches], source) for c in columns),
        num_rows=num_rows,
        share=min(1.0, read / max(sum(unit.size for unit in units), 1)),
        source=source,
        refused=tuple(refused[:_MOST_REFUSED]),
        num_refused=len(refused),
        continuation_lines=sum(batch.continuation_lines for batch in batches),
    )


def _first_of(refused: Sequence[str]) -> str:
    return f"; the first line that is none: {refused[0]}" if refused else ""


def _spread(units: Sequence[ReadUnit]) -> list[ReadUnit]:
    """Orders the units so that every prefix is spread evenly: first, last, middle, then the middles between them."""
    places = np.arange(len(units))
    bits = max(1, int(len(units) - 1).bit_length())
    reversed_bits = np.zeros(len(units), np.int64)
    for bit in range(bits):
        reversed_bits |= ((places >> bit) & 1) << (bits - 1 - bit)
    middles = [units[place] for place in np.argsort(reversed_bits, kind="stable") if place != len(units) - 1]
    return [*middles[:1], *units[-1:], *middles[1:]]


def _profile(name: str, pieces: list[pa.Array], source: TableSource) -> ColumnProfile:
    values = _joined(pieces)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if is_text(values.type):
        return _of_texts(name, values, source)
    kind = values.type
    if pa.types.is_boolean(kind):
        return ColumnProfile(name, "boolean", pc.cast(values, pa.string()), values)
    if pa.types.is_integer(kind):
        return ColumnProfile(name, "integer", pc.cast(values, pa.int64(), safe=False), values)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _of_numbers(name, pc.cast(values, pa.float64()), values)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return ColumnProfile(name, "time", values, values)
    if is_list(kind) and not pa.types.is_nested(kind.value_type):
        lengths = pc.list_value_length(values).drop_null().unique()
        if pa.types.is_floating(kind.value_type) and len(lengths.filter(pc.greater(lengths, 0))) == 1:
            return ColumnProfile(name, "vector", pc.cast(values, pa.list_(pa.float64())))
        return ColumnProfile(name, "list", pc.cast(values, pa.list_(pa.string())))
    return ColumnProfile(name, "structure", values)


def _joined(pieces: list[pa.Array]) -> pa.Array:
    kinds = {piece.type for piece in pieces if not pa.types.is_null(piece.type)}
    if len(kinds) > 1:
        # The files disagree on the type, so the values are compared as texts.
        pieces = [pc.cast(piece, pa.string()) for piece in pieces]
    elif kinds:
        pieces = [pc.cast(piece, next(iter(kinds))) for piece in pieces]
    else:
        pieces = [pc.cast(piece, pa.string()) for piece in pieces]
    return pa.chunked_array(pieces).combine_chunks()


def _of_texts(name: str, raw: pa.Array, source: TableSource) -> ColumnProfile:
    texts, _ = to_texts(raw)
    texts = blank_missing(texts, source.missing)
    values = pc.if_else(pc.equal(pc.utf8_trim_whitespace(texts), ""), None, texts)
    present = values.drop_null()
    if len(present) == 0:
        return ColumnProfile(name, "text", values, raw)
    if pc.all(pc.is_in(pc.utf8_lower(present), pa.array(["true", "false"]))).as_py():
        return ColumnProfile(name, "boolean", values, raw)
    trimmed = pc.utf8_trim_whitespace(values)
    # Leading zeros mean something, as those of a postcode or an article number do.
    if pc.any(pc.match_substring_regex(trimmed, r"^0\d+$")).as_py():
        return ColumnProfile(name, "text", values, raw)
    if pc.all(pc.match_substring_regex(trimmed, _INT64)).as_py():
        return ColumnProfile(name, "integer", pc.cast(pc.replace_substring(trimmed, "+", ""), pa.int64()), raw)
    if pc.all(pc.match_substring_regex(trimmed, _DIGITS)).as_py():
        # Longer than 64 bits: names that consist of digits.
        return ColumnProfile(name, "text", values, raw)
    decimal = source.decimal or guess_decimal(present.slice(0, _SAMPLE))
    numbers = parse_numbers(trimmed.fill_null(""), decimal).values
    if np.isfinite(numbers).sum() < _NUMBERS_AMONG_TEXTS * len(present):
        return _of_lists(name, values, raw) or ColumnProfile(name, "text", values, raw)
    return replace(_of_numbers(name, pa.array(numbers, from_pandas=True), raw), decimal=decimal)


def _of_lists(name: str, texts: pa.StringArray, raw: pa.Array) -> ColumnProfile | None:
    """Lists and vectors in texts; None where they are neither."""
    sample = texts.drop_null().slice(0, _LISTS_LOOKED_AT)
    vectors = parse_vectors(sample)
    lengths = pc.list_value_length(vectors)
    of_one_length = len(lengths.unique()) == 1 and lengths[0].as_py() >= _SHORTEST_VECTOR
    if of_one_length and pc.all(pc.is_finite(vectors.flatten())).as_py() and _have_fractions(sample):
        parsed = parse_vectors(texts.fill_null(""))
        return ColumnProfile(name, "vector", parsed, raw)
    if share_of_lists(sample) < _MOST_LISTS:
        return None
    return ColumnProfile(name, "list", cut_lists(texts.fill_null(""), ","), raw)


def _have_fractions(texts: pa.StringArray) -> bool:
    """Whether most of the texts hold a number with a decimal point, unlike dates, versions and ranges."""
    return bool(pc.mean(pc.match_substring_regex(texts, _FRACTION)).as_py() > _MOST_FRACTIONS)


def _of_numbers(name: str, values: pa.DoubleArray, raw: pa.Array) -> ColumnProfile:
    numbers = values.to_numpy(zero_copy_only=False)
    missing = ~np.isfinite(numbers)
    whole = np.where(missing, 0.0, numbers)
    if (whole == np.trunc(whole)).all() and (np.abs(whole) < 2**53).all():
        return ColumnProfile(name, "integer", pa.array(whole.astype(np.int64), mask=missing), raw)
    return ColumnProfile(name, "number", pa.array(numbers, mask=missing), raw)
