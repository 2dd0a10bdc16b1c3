"""TensorFlow Serving's requests and replies without TensorFlow.

The published stubs (`tensorflow_serving.apis`) import `tensorflow.core.framework` and with it all of TensorFlow: ten
seconds and half a gigabyte for a client that sends a few strings. The messages here have the same names, numbers and
types and therefore the same bytes. Fields that the client does not use are left out.
"""

from enum import IntEnum
from typing import Any

from google.protobuf import descriptor_pb2

from features.protocol.descriptors import describe, message_types


class DataType(IntEnum):
    """Types of tensors that a message can carry, with the numbers of `tensorflow.DataType`."""

    FLOAT = 1
    DOUBLE = 2
    INT32 = 3
    UINT8 = 4
    INT16 = 5
    INT8 = 6
    STRING = 7
    COMPLEX64 = 8
    INT64 = 9
    BOOL = 10
    BFLOAT16 = 14
    UINT16 = 17
    COMPLEX128 = 18
    HALF = 19
    UINT32 = 22
    UINT64 = 23


_TENSOR = descriptor_pb2.FileDescriptorProto(
    name="recstack/tensor.proto",
    package="tensorflow",
    syntax="proto3",
    message_type=[
        describe("TensorDim", {"size": (1, "int64"), "name": (2, "string")}),
        describe("TensorShapeProto", {"dim": (2, "repeated .tensorflow.TensorDim"), "unknown_rank": (3, "bool")}),
        describe(
            "TensorProto",
            {
                "dtype": (1, "int32"),
                "tensor_shape": (2, ".tensorflow.TensorShapeProto"),
                "tensor_content": (4, "bytes"),
                "float_val": (5, "repeated float"),
                "double_val": (6, "repeated double"),
                "int_val": (7, "repeated int32"),
                "string_val": (8, "repeated bytes"),
                "scomplex_val": (9, "repeated float"),
                "int64_val": (10, "repeated int64"),
                "bool_val": (11, "repeated bool"),
                "dcomplex_val": (12, "repeated double"),
                "half_val": (13, "repeated int32"),
                "uint32_val": (16, "repeated uint32"),
                "uint64_val": (17, "repeated uint64"),
            },
        ),
        describe(
            "TensorInfo",
            {"name": (1, "string"), "dtype": (2, "int32"), "tensor_shape": (3, ".tensorflow.TensorShapeProto")},
        ),
        describe(
            "SignatureDef",
            {
                "inputs": (1, "map .tensorflow.TensorInfo"),
                "outputs": (2, "map .tensorflow.TensorInfo"),
                "method_name": (3, "string"),
                "defaults": (4, "map .tensorflow.TensorProto"),
            },
            ".tensorflow",
        ),
    ],
)

_EXAMPLE = descriptor_pb2.FileDescriptorProto(
    name="recstack/example.proto",
    package="tensorflow",
    syntax="proto3",
    message_type=[
        describe("BytesList", {"value": (1, "repeated bytes")}),
        describe("Feature", {"bytes_list": (1, ".tensorflow.BytesList")}),
        describe("Features", {"feature": (1, "map .tensorflow.Feature")}, ".tensorflow"),
        describe("Example", {"features": (1, ".tensorflow.Features")}),
    ],
)

_SCOPE = ".tensorflow.serving"
_SPEC = (1, f"{_SCOPE}.ModelSpec")
_SERVING = descriptor_pb2.FileDescriptorProto(
    name="recstack/serving.proto",
    package="tensorflow.serving",
    syntax="proto3",
    dependency=["recstack/tensor.proto", "google/protobuf/any.proto", "google/protobuf/wrappers.proto"],
    message_type=[
        describe(
            "ModelSpec",
            {
                "name": (1, "string"),
                "version": (2, ".google.protobuf.Int64Value"),
                "signature_name": (3, "string"),
                "version_label": (4, "string"),
            },
        ),
        describe(
            "PredictRequest",
            {
                "model_spec": _SPEC,
                "inputs": (2, "map .tensorflow.TensorProto"),
                "output_filter": (3, "repeated string"),
            },
            _SCOPE,
        ),
        describe(
            "PredictResponse",
            {"outputs": (1, "map .tensorflow.TensorProto"), "model_spec": (2, f"{_SCOPE}.ModelSpec")},
            _SCOPE,
        ),
        describe(
            "PredictLog", {"request": (1, f"{_SCOPE}.PredictRequest"), "response": (2, f"{_SCOPE}.PredictResponse")}
        ),
        describe("SamplingConfig", {"sampling_rate": (1, "double")}),
        describe(
            "LogMetadata",
            {"model_spec": _SPEC, "sampling_config": (2, f"{_SCOPE}.SamplingConfig"), "timestamp_secs": (4, "int64")},
        ),
        describe(
            "PredictionLog",
            {"log_metadata": (1, f"{_SCOPE}.LogMetadata"), "predict_log": (6, f"{_SCOPE}.PredictLog")},
        ),
        describe("StatusProto", {"error_code": (1, "int32"), "error_message": (2, "string")}),
        describe(
            "ModelVersionStatus",
            {"version": (1, "int64"), "state": (2, "int32"), "status": (3, f"{_SCOPE}.StatusProto")},
        ),
        describe("GetModelStatusRequest", {"model_spec": _SPEC}),
        describe("GetModelStatusResponse", {"model_version_status": (1, f"repeated {_SCOPE}.ModelVersionStatus")}),
        describe("SignatureDefMap", {"signature_def": (1, "map .tensorflow.SignatureDef")}, _SCOPE),
        describe("GetModelMetadataRequest", {"model_spec": _SPEC, "metadata_field": (2, "repeated string")}),
        describe(
            "GetModelMetadataResponse", {"model_spec": _SPEC, "metadata": (2, "map .google.protobuf.Any")}, _SCOPE
        ),
    ],
)

_types: dict[str, Any] = dict(message_types(_TENSOR, _EXAMPLE, _SERVING))

TensorProto = _types["TensorProto"]
Example = _types["Example"]
"""As far as strings go: numbers are kept, but cannot be read."""
PredictRequest = _types["PredictRequest"]
PredictResponse = _types["PredictResponse"]
PredictionLog = _types["PredictionLog"]
GetModelStatusRequest = _types["GetModelStatusRequest"]
GetModelStatusResponse = _types["GetModelStatusResponse"]
GetModelMetadataRequest = _types["GetModelMetadataRequest"]
GetModelMetadataResponse = _types["GetModelMetadataResponse"]
SignatureDefMap = _types["SignatureDefMap"]
