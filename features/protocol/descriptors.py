"""Describes Protocol Buffers messages in Python, so that neither a compiler nor another package is needed.

The messages live in a descriptor pool of their own and do not clash with those of TensorFlow in the same process.
"""

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message, message_factory, wrappers_pb2

_Field = descriptor_pb2.FieldDescriptorProto

_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}
_WELL_KNOWN = (any_pb2.DESCRIPTOR, wrappers_pb2.DESCRIPTOR)


def describe(name: str, fields: dict[str, tuple[int, str]], scope: str = "") -> descriptor_pb2.DescriptorProto:
    """Returns a message descriptor.

    Args:
        name: Name of the message.
        fields: Number and type of each field, by name. A type is the name of a scalar, or the full name of a message
            with a leading dot. `repeated ` before it makes a list, `map ` a map from strings.
        scope: Full name of the package with a leading dot; needed for a message with a map.
    """
    described = descriptor_pb2.DescriptorProto(name=name)
    for field_name, (number, kind) in fields.items():
        rule, _, of = kind.rpartition(" ")
        if rule == "map":
            entry = describe(f"{field_name.title().replace('_', '')}Entry", {"key": (1, "string"), "value": (2, of)})
            entry.options.map_entry = True
            described.nested_type.append(entry)
            of = f"{scope}.{name}.{entry.name}"
        label = _Field.LABEL_REPEATED if rule else _Field.LABEL_OPTIONAL
        field = described.field.add(name=field_name, number=number, label=label)
        field.type = _SCALARS.get(of, _Field.TYPE_MESSAGE)
        if field.type == _Field.TYPE_MESSAGE:
            field.type_name = of
    return described


def message_types(*files: descriptor_pb2.FileDescriptorProto) -> dict[str, type[message.Message]]:
    """Returns the classes of all top-level messages of the files by their short names.

    The files may use `google.protobuf.Any` and the wrapper types.
    """
    pool = descriptor_pool.DescriptorPool()
    for known in _WELL_KNOWN:
        pool.AddSerializedFile(known.serialized_pb)
    for file in files:
        pool.Add(file)
    return {
        each.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{each.name}"))
        for file in files
        for each in file.message_type
    }
