"""A whole table in one JSON object, as data frames are written: by columns, by rows with keys, or in two lists."""

from collections.abc import Mapping, Sequence
from typing import Any

from beam_pipelines.sources.python_values import Document

KEY = "key"
"""Name of the column of the rows' keys."""
# An object of fewer rows is taken for one row with objects or lists in it.
_FEWEST_ROWS = 10


def rows_of(value: Document) -> Sequence[Document] | None:
    """The rows of a table that one object holds; None if the object is a row, or something else.

    Known are `{"rows": [{...}, ...]}` with one list of objects, `{"columns": [...], "data": [[...], ...]}`,
    `{"user": [...], "item": [...]}`, `{"user": {"0": ..., "1": ...}, ...}`, and `{"i1": {"title": ...}, ...}`, whose
    keys become the column `key`.
    """
    return _of_one_list(value) or _of_data(value) or _of_lists(value) or _of_objects(value)


def _of_one_list(value: Document) -> Sequence[Document] | None:
    lists = [v for v in value.values() if isinstance(v, list) and v and all(isinstance(entry, dict) for entry in v)]
    return lists[0] if len(lists) == 1 else None


def _of_data(value: Document) -> Sequence[Document] | None:
    names, data = value.get("columns"), value.get("data")
    if not isinstance(names, list) or not isinstance(data, list) or not data:
        return None
    if not all(isinstance(row, list) and len(row) == len(names) for row in data):
        return None
    return [dict(zip(map(str, names), row, strict=True)) for row in data]


def _of_lists(value: Document) -> Sequence[Document] | None:
    columns = list(value.values())
    if len(columns) < 2 or not all(isinstance(column, list) for column in columns):
        return None
    if len(columns[0]) < _FEWEST_ROWS or len({len(column) for column in columns}) > 1:
        return None
    return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]


def _of_objects(value: Document) -> Sequence[Document] | None:
    inner = list(value.values())
    if len(inner) < 2 or not all(isinstance(one, Mapping) and one for one in inner):
        return None
    keys = dict.fromkeys(key for one in inner for key in one)
    if max(len(inner), len(keys)) < _FEWEST_ROWS or not _are_alike(inner, len(keys)):
        return None
    if len(inner) < len(keys):
        return [{name: column.get(key) for name, column in value.items()} for key in keys]
    return [{KEY: key} | dict(row) for key, row in value.items()]


def _are_alike(objects: Sequence[Mapping[str, Any]], num_keys: int) -> bool:
    """Whether the objects have most keys in common, as the rows or columns of a table have."""
    return 2 * sum(map(len, objects)) > len(objects) * num_keys
