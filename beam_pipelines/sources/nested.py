"""Columns of Arrow data by dotted names: `user.id` is the field `id` of the structure `user`."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc


def leaf_names(schema: pa.Schema) -> list[str]:
    """The dotted names of all columns, those of structures' fields instead of the structures'."""
    return [name for field in schema for name in _leaves(field)]


def column_of(batch: pa.RecordBatch | pa.Table, name: str) -> pa.Array:
    """The column with a dotted name; null where a structure around it is."""
    if name in batch.schema.names:
        found = batch.column(batch.schema.get_field_index(name))
    else:
        head = _head(batch.schema, name)
        found = pc.struct_field(batch.column(batch.schema.get_field_index(head)), name[len(head) + 1 :].split("."))
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def top_names(schema: pa.Schema, names: list[str]) -> list[str]:
    """The columns that hold the dotted names, each once."""
    return list(dict.fromkeys(name if name in schema.names else _head(schema, name) for name in names))


def _head(schema: pa.Schema, name: str) -> str:
    return max((top for top in schema.names if name.startswith(f"{top}.")), key=len, default=name)


def _leaves(field: pa.Field, prefix: str = "") -> Iterator[str]:
    if not pa.types.is_struct(field.type) or not field.type.num_fields:
        yield f"{prefix}{field.name}"
        return
    for n in range(field.type.num_fields):
        yield from _leaves(field.type.field(n), f"{prefix}{field.name}.")
