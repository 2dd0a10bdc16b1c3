"""Python values of JSON and documents to Arrow arrays."""

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from beam_pipelines.sources.list_texts import entries_of
from beam_pipelines.sources.tables import Table
from features.errors import InputError

Document = Mapping[str, Any]


def field_of(document: Document, name: str) -> Any:
    """The field with a dotted path, or None: `author.name` is the field `name` of the object `author`."""
    if name in document:
        return document[name]
    head, dot, rest = name.partition(".")
    inner = document.get(head)
    return field_of(inner, rest) if dot and isinstance(inner, Mapping) else None


def field_names(documents: Sequence[Document]) -> list[str]:
    """The dotted paths of all fields that hold no object, in order of appearance."""
    names = dict.fromkeys(name for document in documents for name in _leaves(document))
    # What is an object in one document may be null in another, and is no column then.
    return [name for name in names if not any(_holds_parts(field_of(document, name)) for document in documents)]


def _holds_parts(value: Any) -> bool:
    return isinstance(value, Mapping) and any(True for _ in _leaves(value))


def _leaves(document: Document, prefix: str = "") -> Iterator[str]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def require_no_objects(table: Table, path: str, documents: Sequence[Document]) -> None:
    """Checks that no column is made of objects, whose parts have names of their own.

    Raises:
        InputError: one is.
    """
    for column in table.columns:
        found = next((v for d in documents if isinstance(v := field_of(d, column.source), Mapping)), None)
        if found and (parts := field_names([{column.source: found}])):
            raise InputError(
                f"{path}: column {column.source!r} holds objects; name one of their parts in pipeline.{table.name}."
                f"columns, such as {column.name.lstrip('.')} = {parts[0]!r} (the parts are {', '.join(parts)})"
            )


def array_of(values: list[Any]) -> pa.Array:
    """An array of the values' own type, or of their texts where the types are mixed.

    Lists become lists of texts, and lists in lists one list.
    """
    if any(isinstance(value, list) for value in values):
        lists = [value if value is None or isinstance(value, list) else [value] for value in values]
        return pa.array([v and list(entries_of(v)) for v in lists], pa.list_(pa.string()))
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


def array_of_cells(cells: Sequence[Any]) -> pa.Array:
    """The column of a spreadsheet: numbers, moments or texts; texts where cells are mixed, null where one is empty."""
    values = [None if cell == "" else cell for cell in cells]
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and kinds:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if kinds <= {datetime.datetime, datetime.date} and kinds:
        return pa.array([None if value is None else _moment(value) for value in values], pa.timestamp("us"))
    return pa.array([None if value is None else _cell_text(value) for value in values], pa.string())


def _moment(value: datetime.date) -> datetime.datetime:
    return value if isinstance(value, datetime.datetime) else datetime.datetime.combine(value, datetime.time())


def _cell_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat(" ") if isinstance(value, datetime.datetime) else str(value)
