"""Converts raw batches to the schema's names and types, and rejects the rows that cannot be converted.

Types after validation: `id`, `token`, `text`, `event_type` string; `list` and `items` list of strings; `number` and
`rating` float32; `vector` list of float32, all of its length; `time` int64, whole seconds since 1970-01-01 UTC. A
missing string is "", a missing number NaN, a missing list or vector empty. Ids, times, ratings and event types must not
be missing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import TableSource
from beam_pipelines.passes.column_rules import apply_rule
from beam_pipelines.sources.contract import RawBatch
from beam_pipelines.sources.list_texts import cut_lists
from beam_pipelines.sources.numbers import parse_numbers
from beam_pipelines.sources.shown_items import SEPARATORS
from beam_pipelines.sources.tables import Column, Table
from beam_pipelines.sources.texts import blank_missing, is_text, spell_ids, to_texts
from beam_pipelines.sources.times import to_seconds
from beam_pipelines.sources.vectors import parse_vectors, to_vectors
from features.errors import InputError

# From 1970 up to, not including, the year 2100: beyond, a unit or a pattern is wrong.
LATEST_SECOND = 4_102_444_800

_AMBIGUOUS = "has a comma that may be a decimal mark (set `decimal`)"
_LINE_BREAK = r"[\r\n]"
_SHOWN_CHARACTERS = 200

REJECT_TYPE = pa.schema(
    [
        ("reason", pa.string()),
        ("table", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("value", pa.string()),
    ]
)


@dataclass
class _Converted:
    """A column's values, and a mask of the rejected rows for each reason."""

    values: pa.Array
    refused: dict[str, pa.BooleanArray]


def validate(table: Table, file: str, raw: RawBatch) -> tuple[pa.RecordBatch, pa.Table]:
    """Converts a batch.

    Args:
        table: what the columns mean.
        file: the source, named in the rejects.
        raw: the rows.

    Returns:
        The valid rows under the schema's names, and the rejected ones as `REJECT_TYPE`.

    Raises:
        InputError: a column has a type that cannot be converted, such as a structure.
    """
    rejects = [_malformed(table, file, raw)]
    alive = np.ones(raw.columns.num_rows, bool)
    arrays = []
    for column in table.columns:
        source = raw.columns.column(raw.columns.schema.get_field_index(column.source))
        converted = _convert(table, column, source)
        values, by_rule = apply_rule(converted.values, column)
        arrays.append(values)
        for reason, mask in (converted.refused | by_rule).items():
            # Reports only the first reason of a row, since others often follow from it.
            bad = mask.fill_null(True).to_numpy(zero_copy_only=False) & alive
            if bad.any():
                rejects.append(_rejects(table, file, raw, column, (reason, bad)))
                alive &= ~bad
    batch = pa.RecordBatch.from_arrays(arrays, [column.name for column in table.columns])
    return (batch if alive.all() else batch.filter(pa.array(alive))), pa.concat_tables(rejects)


def _malformed(table: Table, file: str, raw: RawBatch) -> pa.Table:
    rows = [
        {"reason": reason, "table": table.name, "file": file, "row": row, "column": "", "value": text}
        for row, reason, text in raw.malformed
    ]
    return pa.Table.from_pylist([row | {"value": str(row["value"])[:_SHOWN_CHARACTERS]} for row in rows], REJECT_TYPE)


def _rejects(
    table: Table, file: str, raw: RawBatch, column: Column, refused: tuple[str, npt.NDArray[np.bool_]]
) -> pa.Table:
    reason, bad = refused
    source = raw.columns.column(raw.columns.schema.get_field_index(column.source)).filter(pa.array(bad))
    constants = {
        "reason": f"{column.name.lstrip('.')} {reason}",
        "table": table.name,
        "file": file,
        "column": column.source,
    }
    columns = {name: pa.repeat(pa.scalar(value, pa.string()), len(source)) for name, value in constants.items()}
    columns |= {"row": pa.array(raw.rows[bad], pa.int64()), "value": _shown(source)}
    return pa.table({name: columns[name] for name in REJECT_TYPE.names}, schema=REJECT_TYPE)


def _shown(values: pa.Array) -> pa.StringArray:
    try:
        texts = pc.cast(values, pa.string())
    except (pa.ArrowException, NotImplementedError):
        texts = pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.string())
    return pc.utf8_slice_codeunits(texts, 0, _SHOWN_CHARACTERS)


def _convert(table: Table, column: Column, source: pa.Array) -> _Converted:
    how = table.source
    convert: dict[str, Callable[[], _Converted]] = {
        "id": lambda: _identifier(source, how),
        "token": lambda: _token(source, how),
        "text": lambda: _optional_text(source, how),
        "event_type": lambda: _event_type(source, table.event_types),
        "list": lambda: _list(source, column.separator, how),
        "items": lambda: _items(source, how),
        "number": lambda: _number(source, how),
        "vector": lambda: _vector(source, column.length, how),
        "rating": lambda: _rating(source, how),
        "time": lambda: _time(source, how),
    }
    try:
        return convert[column.kind]()
    except (pa.ArrowException, NotImplementedError) as error:
        raise InputError(
            f"table {table.name}: column {column.source!r} is of type {source.type}, from which no {column.kind} can "
            f"be made; name another{_part_of(column, source)} in pipeline.{table.name}.columns or change its "
            "feature's kind"
        ) from error


def _part_of(column: Column, source: pa.Array) -> str:
    """An example of a part that can be named, of a structure."""
    if not pa.types.is_struct(source.type) or not source.type.num_fields:
        return ""
    return f", such as its part '{column.source}.{source.type.field(0).name}',"


def _identifier(source: pa.Array, how: TableSource) -> _Converted:
    text, undecodable = to_texts(source)
    text = spell_ids(blank_missing(text, how.missing), how.ids)
    refused = {"is not UTF-8": undecodable, "is missing": pc.equal(text, "")}
    if pa.types.is_floating(source.type) or pa.types.is_decimal(source.type):
        refused["is not a whole number"] = pc.match_substring_regex(text, r"[^0-9-]")
    return _Converted(text, refused | {"holds a line break": _holds_line_break(text)})


def _token(source: pa.Array, how: TableSource) -> _Converted:
    text, undecodable = _present_texts(source, how)
    return _Converted(text, {"is not UTF-8": undecodable, "holds a line break": _holds_line_break(text)})


def _holds_line_break(text: pa.StringArray) -> pa.BooleanArray:
    """Mask of the texts with a line break. Usually there is none, which a search of all bytes finds out fastest."""
    data = text.buffers()[2]
    found = data.to_pybytes() if data else b""
    if b"\n" in found or b"\r" in found:
        return pc.match_substring_regex(text, _LINE_BREAK)
    return pa.array(np.zeros(len(text), bool))


def _present_texts(source: pa.Array, how: TableSource) -> tuple[pa.StringArray, pa.BooleanArray]:
    """The values as texts, "" where missing, and where the bytes are no UTF-8."""
    text, undecodable = to_texts(source)
    return blank_missing(text, how.missing), undecodable


def _optional_text(source: pa.Array, how: TableSource) -> _Converted:
    text, undecodable = _present_texts(source, how)
    return _Converted(text, {"is not UTF-8": undecodable})


def _event_type(source: pa.Array, known: tuple[str, ...]) -> _Converted:
    text, undecodable = to_texts(source)
    unknown = pc.invert(pc.is_in(text, pa.array(known, pa.string())))
    return _Converted(
        text, {"is not UTF-8": undecodable, "is missing": pc.equal(text, ""), "has no weight in event_weights": unknown}
    )


def _list(source: pa.Array, separator: str, how: TableSource) -> _Converted:
    if pa.types.is_list(source.type) or pa.types.is_large_list(source.type):
        lists, undecodable = _cast_list(source), pa.array(np.zeros(len(source), bool))
    else:
        text, undecodable = _present_texts(source, how)
        lists = cut_lists(text, separator)
    lists = _without_empty(lists)
    broken = _holds_line_break(lists.values).to_numpy(zero_copy_only=False)
    parents = pc.list_parent_indices(lists).to_numpy()
    rows = np.zeros(len(lists), bool)
    rows[parents[broken]] = True
    return _Converted(lists, {"is not UTF-8": undecodable, "holds a line break": pa.array(rows)})


def _items(source: pa.Array, how: TableSource) -> _Converted:
    text, undecodable = _present_texts(source, how)
    lists = cut_lists(pc.utf8_trim_whitespace(text), SEPARATORS, is_regex=True)
    lists = pa.ListArray.from_arrays(lists.offsets, spell_ids(lists.values, how.ids))
    return _Converted(_without_empty(lists), {"is not UTF-8": undecodable})


def _cast_list(source: pa.Array) -> pa.ListArray:
    filled = pc.if_else(source.is_null(), pa.scalar([], source.type), source)
    return pc.cast(filled, pa.list_(pa.string()))


def _without_empty(lists: pa.ListArray) -> pa.ListArray:
    """Drops empty and missing entries, which no vocabulary can hold."""
    offsets = lists.offsets.to_numpy().astype(np.int64)
    values = lists.values.slice(offsets[0], offsets[-1] - offsets[0]).fill_null("")
    keep = pc.not_equal(values, "").to_numpy(zero_copy_only=False)
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(keep)])
    return pa.ListArray.from_arrays(pa.array(before[offsets - offsets[0]].astype(np.int32)), values.filter(keep))


def _number(source: pa.Array, how: TableSource) -> _Converted:
    if pa.types.is_dictionary(source.type):
        source = source.dictionary_decode()
    if not is_text(source.type):
        with np.errstate(over="ignore"):
            exact = pc.cast(source, pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
            values = exact.astype(np.float32)
        return _Converted(pa.array(values, pa.float32()), {"is not finite": pa.array(np.isinf(values))})
    text, undecodable = to_texts(source)
    numbers = parse_numbers(blank_missing(pc.utf8_trim_whitespace(text), how.missing), how.decimal)
    with np.errstate(over="ignore"):
        values = numbers.values.astype(np.float32)
    refused = {
        "is not UTF-8": undecodable,
        _AMBIGUOUS: numbers.ambiguous,
        "is not a number": numbers.unreadable,
        "is not finite": pa.array(np.isinf(values)),
    }
    return _Converted(pa.array(values, pa.float32()), refused)


def _vector(source: pa.Array, length: int, how: TableSource) -> _Converted:
    if not is_text(source.type):
        return _Converted(*to_vectors(source, length))
    text, undecodable = _present_texts(source, how)
    vectors, refused = to_vectors(parse_vectors(text), length)
    return _Converted(vectors, {"is not UTF-8": undecodable} | refused)


def _rating(source: pa.Array, how: TableSource) -> _Converted:
    number = _number(source, how)
    missing = pc.is_nan(number.values)
    return _Converted(number.values, number.refused | {"is missing": missing})


def _time(source: pa.Array, how: TableSource) -> _Converted:
    if is_text(source.type):
        source, undecodable = to_texts(source)
        source = blank_missing(pc.utf8_trim_whitespace(source), how.missing)
        missing = pc.equal(source, "")
    else:
        undecodable, missing = pa.array(np.zeros(len(source), bool)), _is_missing(source)
    seconds = to_seconds(source, how)
    unreadable = pc.and_(seconds.is_null(), pc.invert(missing))
    values = seconds.fill_null(0).to_numpy(zero_copy_only=False)
    outside = pa.array((values < 0) | (values >= LATEST_SECOND))
    refused = {
        "is not UTF-8": undecodable,
        "is missing": missing,
        f"is not a time of format {how.timestamp_format!r}": unreadable,
        "is not between the years 1970 and 2099": outside,
    }
    return _Converted(pa.array(values, pa.int64()), refused)


def _is_missing(source: pa.Array) -> pa.BooleanArray:
    return pc.is_null(source, nan_is_null=True)
