"""Predict, row by row of docs/protocol.md. The model is y = x / 2 + 2."""

import numpy as np
import pytest
import tensorflow as tf
from grpc import StatusCode
from tensorflow.core.framework import tensor_pb2, types_pb2


def predict_refused(tiny, request, code):
    return tiny.refused(tiny.prediction.Predict, request, code)


def test_default_signature_answers_and_names_the_version(tiny, x):
    response = tiny.predict(x=x)
    np.testing.assert_array_equal(tf.make_ndarray(response.outputs["y"]), x / 2 + 2)
    assert response.model_spec.name == "tiny"
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"


def test_outputs_are_typed_fields_not_tensor_content(tiny, x):
    proto = tiny.predict(x=x).outputs["y"]
    assert list(proto.float_val) == [2.5, 3.0, 4.5]
    assert proto.tensor_content == b""


def test_row_no_model_spec(tiny):
    from tensorflow_serving.apis import predict_pb2

    assert predict_refused(tiny, predict_pb2.PredictRequest(), StatusCode.INVALID_ARGUMENT) == "Missing ModelSpec"


def test_row_empty_name(tiny):
    message = predict_refused(tiny, tiny.request(""), StatusCode.INVALID_ARGUMENT)
    assert message == "ModelSpec has no name specified."


def test_row_unknown_model(tiny, x):
    message = predict_refused(tiny, tiny.request("nobody", x=x), StatusCode.NOT_FOUND)
    assert message == "Servable not found for request: Latest(nobody)"


def test_row_unknown_version(tiny, x):
    request = tiny.request(x=x)
    request.model_spec.version.value = 7
    message = predict_refused(tiny, request, StatusCode.NOT_FOUND)
    assert message == "Servable not found for request: Specific(tiny, 7)"


def test_row_unknown_label(tiny, x):
    request = tiny.request(x=x)
    request.model_spec.version_label = "canary"
    message = predict_refused(tiny, request, StatusCode.INVALID_ARGUMENT)
    assert message == "Unrecognized servable version label: canary"


def test_row_empty_label(tiny, x):
    request = tiny.request(x=x)
    request.model_spec.version_label = ""
    message = predict_refused(tiny, request, StatusCode.INVALID_ARGUMENT)
    assert message == "Unrecognized servable version label: "


def test_row_predict_unknown_signature(tiny, x):
    message = predict_refused(tiny, tiny.request(signature="nope", x=x), StatusCode.FAILED_PRECONDITION)
    assert message == 'Serving signature key "nope" not found.'


def test_row_too_few_inputs(tiny):
    message = predict_refused(tiny, tiny.request(), StatusCode.INVALID_ARGUMENT)
    assert message == (
        "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}."
    )


def test_row_too_many_inputs(tiny, x):
    message = predict_refused(tiny, tiny.request(x=x, b=x, a=x), StatusCode.INVALID_ARGUMENT)
    assert message == (
        "input size does not match signature: 3!=1 len({a,b,x}) != len({x}). Sent extra: {a,b}. "
        "Missing but required: {}."
    )


def test_row_right_count_wrong_alias(tiny, x):
    message = predict_refused(tiny, tiny.request(z=x), StatusCode.INVALID_ARGUMENT)
    assert message.startswith(
        "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value provided."
    )


@pytest.mark.parametrize(
    "proto",
    [
        tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=b"abc", tensor_shape={"dim": [{"size": 1}]}),
        tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0], tensor_shape={"dim": [{"size": -1}]}),
        tensor_pb2.TensorProto(float_val=[1.0], tensor_shape={"dim": [{"size": 1}]}),
        tensor_pb2.TensorProto(dtype=types_pb2.DT_RESOURCE),
    ],
    ids=["wrong content length", "negative dimension", "no type", "resource"],
)
def test_row_tensor_proto_does_not_parse(tiny, proto):
    request = tiny.request()
    request.inputs["x"].CopyFrom(proto)
    assert predict_refused(tiny, request, StatusCode.INVALID_ARGUMENT) == "tensor parsing error: x"


def test_row_wrong_dtype_is_not_cast(tiny):
    message = predict_refused(tiny, tiny.request(x=np.array([b"a"], object)), StatusCode.INVALID_ARGUMENT)
    assert message == "Expects arg[0] to be float but string is provided"
    message = predict_refused(tiny, tiny.request(x=np.array([1.0], np.float64)), StatusCode.INVALID_ARGUMENT)
    assert message == "Expects arg[0] to be float but double is provided"


def test_row_shape_is_not_checked_by_the_server(tiny):
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    np.testing.assert_array_equal(tf.make_ndarray(tiny.predict(x=matrix).outputs["y"]), matrix / 2 + 2)


def test_row_wrong_shape_is_the_kernels_own_error(tiny):
    request = tiny.request(signature="two", x=np.ones(2, np.float32), n=np.ones(3, np.int64))
    assert "Incompatible shapes" in predict_refused(tiny, request, StatusCode.INVALID_ARGUMENT)


def test_output_filter_chooses_outputs(tiny):
    request = tiny.request(signature="two", x=np.ones(2, np.float32), n=np.ones(2, np.int64))
    request.output_filter.append("sum")
    assert list(tiny.prediction.Predict(request).outputs) == ["sum"]


def test_row_output_filter_unknown(tiny, x):
    request = tiny.request(x=x)
    request.output_filter.append("q")
    message = predict_refused(tiny, request, StatusCode.INVALID_ARGUMENT)
    assert message == ("output tensor alias not found in signature: q Outputs expected to be in the set {y}.")


def test_row_output_filter_twice(tiny, x):
    request = tiny.request(x=x)
    request.output_filter.extend(["y", "y"])
    assert predict_refused(tiny, request, StatusCode.INVALID_ARGUMENT) == "duplicate output tensor alias: y"


def test_a_deadline_stops_the_work(tiny):
    request = tiny.request(signature="loop", n=np.int64(10**9))
    tiny.refused(tiny.prediction.Predict, request, StatusCode.DEADLINE_EXCEEDED, timeout=0.3)
    # The version is free again: a call that runs on to the end would hold it for minutes.
    version = tiny.server.store._versions["tiny"][1]
    tiny.wait_until(lambda: version.calls == 0, seconds=5)


def test_unregistered_rpc_is_unimplemented(tiny):
    call = tiny.channel.unary_unary("/tensorflow.serving.SessionService/SessionRun")
    tiny.refused(call, b"", StatusCode.UNIMPLEMENTED)


@pytest.mark.slow
def test_large_messages_pass_both_ways(start_server, tiny_model):
    import grpc

    client = start_server(model_name="tiny", model_base_path=str(tiny_model))
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    values = np.arange(4_000_000, dtype=np.float32)
    with grpc.insecure_channel(client.address, options=options) as channel:
        call = channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=type(client.predict(x=values[:1])).FromString,
        )
        result = tf.make_ndarray(call(client.request(x=values)).outputs["y"])
    np.testing.assert_array_equal(result, values / 2 + 2)


def test_tensor_content_by_flag(start_server, tiny_model, x):
    client = start_server(
        model_name="tiny", model_base_path=str(tiny_model), enable_serialization_as_tensor_content=True
    )
    assert client.predict(x=x).outputs["y"].tensor_content == (x / 2 + 2).tobytes()


def test_messages_are_cut_at_1024_characters(tiny):
    message = predict_refused(tiny, tiny.request("m" * 2000), StatusCode.NOT_FOUND)
    assert len(message) == 1024 + len("...TRUNCATED")
    assert message.endswith("...TRUNCATED")
