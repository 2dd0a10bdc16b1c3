"""Messages of TensorFlow Serving and its profiler that `tensorflow-serving-api` does not publish.

Field names, numbers and types are those of `session_bundle_config.proto`, `monitoring_config.proto` and
`ssl_config.proto`, so that both servers read the same text files, and of `profiler_service.proto`.
"""

from typing import TypeVar

from google.protobuf import descriptor_pb2, message, text_format

from features.disk.object_store import read_file
from features.errors import RecstackError
from features.protocol.descriptors import describe, message_types
from serving.errors import invalid_argument

_MessageT = TypeVar("_MessageT", bound=message.Message)

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
        describe(
            "ProfileRequest",
            {
                "duration_ms": (1, "uint64"),
                "opts": (4, "bytes"),  # a serialized tensorflow.ProfileOptions, which has the same form on the wire
                "repository_root": (5, "string"),
                "session_id": (6, "string"),
                "host_name": (7, "string"),
            },
        ),
        describe("ProfileResponse", {"empty_trace": (7, "bool")}),
        describe("TerminateRequest", {"session_id": (1, "string")}),
        describe("TerminateResponse", {}),
        describe("MonitorRequest", {"duration_ms": (1, "uint64")}),
        describe("MonitorResponse", {"data": (1, "string")}),
    ],
)

_types = message_types(_FILE)
BatchingParameters = _types["BatchingParameters"]
MonitoringConfig = _types["MonitoringConfig"]
SSLConfig = _types["SSLConfig"]
ProfileRequest = _types["ProfileRequest"]
ProfileResponse = _types["ProfileResponse"]
TerminateRequest = _types["TerminateRequest"]
TerminateResponse = _types["TerminateResponse"]
MonitorRequest = _types["MonitorRequest"]
MonitorResponse = _types["MonitorResponse"]


def read_text(path: str, empty: _MessageT, full_name: str) -> _MessageT:
    """Reads a text-format file, local or in an object store, into `empty` and returns it.

    Raises:
        ServingError: The file cannot be read, or does not parse.
    """
    try:
        return text_format.Parse(read_file(path).decode("utf-8"), empty)
    except OSError as error:
        raise invalid_argument(f"{path}: cannot be read: {error.strerror or 'no such file'}") from None
    except RecstackError as error:
        raise invalid_argument(str(error)) from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise invalid_argument(f"{path}: Error parsing text-format {full_name}: {error}") from None
