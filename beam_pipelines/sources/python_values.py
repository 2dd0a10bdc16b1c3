"""Python values of JSON and documents to Arrow arrays."""

import json
from typing import Any

import pyarrow as pa


def array_of(values: list[Any]) -> pa.Array:
    """An array of the values' own type, or of their texts where the types are mixed; lists become lists of texts."""
    if any(isinstance(value, list) for value in values):
        lists = [value if value is None or isinstance(value, list) else [value] for value in values]
        return pa.array([v and [_text(x) for x in v] for v in lists], pa.list_(pa.string()))
    kind = arrow_type(values)
    if pa.types.is_string(kind):
        return pa.array([_text(value) for value in values], kind)
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, OverflowError):
        return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def arrow_type(values: list[Any]) -> pa.DataType:
    """The type that holds all values; a string where types are mixed."""
    kinds = {type(value) for value in values if value is not None}
    by_kind = {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), list: pa.list_(pa.string())}
    if kinds == {int, float}:
        return pa.float64()
    return by_kind.get(kinds.pop(), pa.string()) if len(kinds) == 1 else pa.string()
