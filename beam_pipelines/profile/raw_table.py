"""What a raw table looks like before anybody has said what its columns mean: types, cardinalities, missing values."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import TableSource
from beam_pipelines.config.source import TableName
from beam_pipelines.sources import files
from beam_pipelines.sources.contract import ReadUnit
from beam_pipelines.sources.tables import Column, Table
from beam_pipelines.sources.vectors import is_list
from features.errors import InputError

ProfiledKind: TypeAlias = Literal["integer", "number", "text", "boolean", "time", "list", "vector", "structure"]

MOST_ROWS = 2_000_000
_NO_VALUE = ("", "nan", "NaN", "NA", "N/A", "null", "NULL", "None", "\\N")
_NUMBERS_AMONG_TEXTS = 0.99
_EXAMPLES = 3


@dataclass(frozen=True)
class ColumnProfile:
    """One column."""

    name: str
    """The table's own name."""
    kind: ProfiledKind
    """`integer` and `number` also where a text file writes them; `007` is a text."""
    values: pa.Array
    """`[rows]` int64, float64, string, a date or time type, or lists; null where missing."""

    @property
    def missing(self) -> float:
        """Share of rows without a value; an empty list is none."""
        nulls = self.values.null_count
        if self.kind in ("list", "vector"):
            nulls = len(self.values) - int(pc.sum(pc.greater(pc.list_value_length(self.values), 0)).as_py() or 0)
        return float(nulls) / max(len(self.values), 1)

    @cached_property
    def distinct(self) -> int:
        """How many values occur; of a column of lists or vectors, how many entries."""
        if self.kind == "structure":
            return 0
        return int(pc.count_distinct(self.entries, mode="only_valid").as_py())

    @property
    def entries(self) -> pa.Array:
        """The values, or the entries of the lists."""
        return self.values.flatten() if self.kind in ("list", "vector") else self.values

    @property
    def examples(self) -> tuple[str, ...]:
        """The first few different values."""
        if self.kind == "structure":
            return ()
        head = self.entries.slice(0, 10_000).drop_null().unique().slice(0, _EXAMPLES)
        return tuple(str(value) for value in head.to_pylist())


@dataclass(frozen=True)
class TableProfile:
    """A raw table, or as much of it as was read."""

    name: TableName
    """Which of the three."""
    path: str
    """File name or pattern."""
    columns: tuple[ColumnProfile, ...]
    """In the order of the file."""
    num_rows: int
    """Rows that were read."""
    share: float
    """Of the table's bytes, that were read."""

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


def profile_table(name: TableName, path: str, max_rows: int = MOST_ROWS) -> TableProfile:
    """Reads a table, or parts of it that lie evenly over its files.

    Args:
        name: which of the three tables.
        path: file name or pattern.
        max_rows: about as many rows are read.

    Raises:
        InputError: there is no such table, it is of no known format, damaged, or empty.
    """
    nameless = Table(name=name, source=TableSource(path=path), columns=(), key="")
    units = list(files.units(nameless, files.find(nameless)))
    names = [column for column in files.column_names(nameless, units[0]) if column]
    columns = tuple(Column(name=column, source=column, kind="text") for column in dict.fromkeys(names))
    table = Table(name=name, source=nameless.source, columns=columns, key="")
    batches: list[pa.RecordBatch] = []
    num_rows, read = 0, 0
    for unit in _spread(units):
        if num_rows >= max_rows:
            break
        for raw in files.read(table, unit):
            batches.append(raw.columns)
            num_rows += raw.columns.num_rows
        read += unit.size
    if num_rows == 0:
        raise InputError(f"{path}: the files hold no rows")
    profiles = tuple(_profile(column.source, [batch.column(column.source) for batch in batches]) for column in columns)
    return TableProfile(name, path, profiles, num_rows, min(1.0, read / max(sum(unit.size for unit in units), 1)))


def _spread(units: Sequence[ReadUnit]) -> list[ReadUnit]:
    """The first, the last, the middle, then the middles between these: any beginning lies evenly over the table."""
    places = np.arange(len(units))
    bits = max(1, int(len(units) - 1).bit_length())
    reversed_bits = np.zeros(len(units), np.int64)
    for bit in range(bits):
        reversed_bits |= ((places >> bit) & 1) << (bits - 1 - bit)
    middles = [units[place] for place in np.argsort(reversed_bits, kind="stable") if place != len(units) - 1]
    return [*middles[:1], *units[-1:], *middles[1:]]


def _profile(name: str, pieces: list[pa.Array]) -> ColumnProfile:
    values = _joined(pieces)
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        values = _decoded(values)
        kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _of_texts(name, pc.cast(values, pa.string()))
    if pa.types.is_boolean(kind):
        return ColumnProfile(name, "boolean", pc.cast(values, pa.string()))
    if pa.types.is_integer(kind):
        return ColumnProfile(name, "integer", pc.cast(values, pa.int64(), safe=False))
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _of_numbers(name, pc.cast(values, pa.float64()))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return ColumnProfile(name, "time", values)
    if is_list(kind) and not pa.types.is_nested(kind.value_type):
        lengths = pc.list_value_length(values).drop_null().unique()
        if pa.types.is_floating(kind.value_type) and len(lengths.filter(pc.greater(lengths, 0))) == 1:
            return ColumnProfile(name, "vector", pc.cast(values, pa.list_(pa.float64())))
        return ColumnProfile(name, "list", pc.cast(values, pa.list_(pa.string())))
    return ColumnProfile(name, "structure", values)


def _joined(pieces: list[pa.Array]) -> pa.Array:
    kinds = {piece.type for piece in pieces if not pa.types.is_null(piece.type)}
    if len(kinds) > 1:
        # Files that disagree: what they have in common is how they print.
        pieces = [pc.cast(piece, pa.string()) for piece in pieces]
    elif kinds:
        pieces = [pc.cast(piece, next(iter(kinds))) for piece in pieces]
    else:
        pieces = [pc.cast(piece, pa.string()) for piece in pieces]
    return pa.chunked_array(pieces).combine_chunks()


def _decoded(values: pa.Array) -> pa.StringArray:
    try:
        return pc.cast(values, pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if v is None else v.decode(errors="replace") for v in values.to_pylist()], pa.string())


def _of_texts(name: str, values: pa.StringArray) -> ColumnProfile:
    values = pc.if_else(pc.is_in(values, pa.array(_NO_VALUE)), None, values)
    present = values.drop_null()
    if len(present) == 0:
        return ColumnProfile(name, "text", values)
    if pc.all(pc.is_in(pc.utf8_lower(present), pa.array(["true", "false"]))).as_py():
        return ColumnProfile(name, "boolean", values)
    # Leading zeros mean something, as those of a postcode or an article number do.
    coded = pc.any(pc.match_substring_regex(present, r"^0\d+$")).as_py()
    if coded or not pc.match_substring_regex(present.slice(0, 1), r"^\s*[+-]?[\d.]").to_pylist()[0]:
        return ColumnProfile(name, "text", values)
    numbers = pd.to_numeric(present.to_pandas(), errors="coerce")
    if np.isfinite(numbers).mean() < _NUMBERS_AMONG_TEXTS:
        return ColumnProfile(name, "text", values)
    column = pd.to_numeric(values.to_pandas(), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return _of_numbers(name, pa.array(column, from_pandas=True))


def _of_numbers(name: str, values: pa.DoubleArray) -> ColumnProfile:
    numbers = values.to_numpy(zero_copy_only=False)
    missing = ~np.isfinite(numbers)
    whole = np.where(missing, 0.0, numbers)
    if (whole == np.trunc(whole)).all() and (np.abs(whole) < 2**53).all():
        return ColumnProfile(name, "integer", pa.array(whole.astype(np.int64), mask=missing))
    return ColumnProfile(name, "number", pa.array(numbers, mask=missing))
