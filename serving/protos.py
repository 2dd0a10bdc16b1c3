"""The messages of TensorFlow Serving's configuration files that `tensorflow-serving-api` does not publish.

Field names, numbers and types are those of `session_bundle_config.proto`, `monitoring_config.proto` and
`ssl_config.proto`, so that the same text files serve here and there.
"""

from pathlib import Path
from typing import TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, text_format, wrappers_pb2

from serving.errors import invalid_argument

_Field = descriptor_pb2.FieldDescriptorProto
_MessageT = TypeVar("_MessageT", bound=message.Message)

_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
}


def describe(name: str, fields: dict[str, tuple[int, str]]) -> descriptor_pb2.DescriptorProto:
    """A message descriptor.

    Args:
        name: the message's name.
        fields: name to (number, type); the type is a scalar's name or a full message name with a leading dot, and
            `repeated ` before it makes the field a list.
    """
    described = descriptor_pb2.DescriptorProto(name=name)
    for field_name, (number, kind) in fields.items():
        repeated = kind.startswith("repeated ")
        kind = kind.removeprefix("repeated ")
        field = described.field.add(name=field_name, number=number)
        field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
        field.type = _SCALARS.get(kind, _Field.TYPE_MESSAGE)
        if field.type == _Field.TYPE_MESSAGE:
            field.type_name = kind
    return described


_INT64_VALUE = ".google.protobuf.Int64Value"
_FILE = descriptor_pb2.FileDescriptorProto(
    name="recstack/serving_config.proto",
    package="recstack.serving",
    syntax="proto3",
    dependency=["google/protobuf/wrappers.proto"],
    message_type=[
        describe(
            "BatchingParameters",
            {
                "max_batch_size": (1, _INT64_VALUE),
                "batch_timeout_micros": (2, _INT64_VALUE),
                "max_enqueued_batches": (3, _INT64_VALUE),
                "num_batch_threads": (4, _INT64_VALUE),
                "thread_pool_name": (5, ".google.protobuf.StringValue"),
                "allowed_batch_sizes": (6, "repeated int64"),
                "pad_variable_length_inputs": (7, "bool"),
                "enable_large_batch_splitting": (8, ".google.protobuf.BoolValue"),
                "max_execution_batch_size": (9, _INT64_VALUE),
            },
        ),
        describe("PrometheusConfig", {"enable": (1, "bool"), "path": (2, "string")}),
        describe("MonitoringConfig", {"prometheus_config": (1, ".recstack.serving.PrometheusConfig")}),
        describe(
            "SSLConfig",
            {
                "server_key": (1, "string"),
                "server_cert": (2, "string"),
                "custom_ca": (3, "string"),
                "client_verify": (4, "bool"),
            },
        ),
    ],
)

_pool = descriptor_pool.DescriptorPool()
_wrappers = descriptor_pb2.FileDescriptorProto()
wrappers_pb2.DESCRIPTOR.CopyToProto(_wrappers)
_pool.Add(_wrappers)
_pool.Add(_FILE)


def _message(name: str) -> type[message.Message]:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"recstack.serving.{name}"))


BatchingParameters = _message("BatchingParameters")
MonitoringConfig = _message("MonitoringConfig")
SSLConfig = _message("SSLConfig")


def read_text(path: str, empty: _MessageT, full_name: str) -> _MessageT:
    """Reads a text-format file into `empty` and returns it.

    Raises:
        ServingError: the file cannot be read, or is not such a message.
    """
    try:
        return text_format.Parse(Path(path).read_text(encoding="utf-8"), empty)
    except OSError as error:
        raise invalid_argument(f"{path}: cannot be read: {error.strerror}") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise invalid_argument(f"{path}: Error parsing text-format {full_name}: {error}") from None
