"""Malformed requests at both doors: each is answered with a specified status, and the server still answers rightly.

The fast tests send a few hundred; `RECSTACK_FUZZ_REQUESTS=100000` sends as many as that through the slow one.
"""

import os
import random

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import predict_pb2

from tests.serving.conftest import PATIENCE

SPECIFIED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,  # bytes that are no proto: gRPC itself answers
}
METHODS = (
    *(f"/tensorflow.serving.PredictionService/{name}" for name in ("Predict", "Classify", "Regress")),
    *(f"/tensorflow.serving.PredictionService/{name}" for name in ("MultiInference", "GetModelMetadata")),
    "/tensorflow.serving.ModelService/GetModelStatus",
    "/tensorflow.serving.ModelService/NoSuchMethod",
)


def mutated(data: bytes, generator: random.Random) -> bytes:
    """A real request with bytes changed, dropped, doubled or inserted."""
    changed = bytearray(data)
    for _ in range(generator.randint(1, 6)):
        at = generator.randrange(len(changed) + 1)
        kind = generator.randrange(4)
        if kind == 0 and at < len(changed):
            changed[at] = generator.randrange(256)
        elif kind == 1:
            del changed[at : at + generator.randint(1, 8)]
        elif kind == 2:
            changed[at:at] = changed[at : at + 8]
        else:
            changed[at:at] = generator.randbytes(generator.randint(1, 8))
    return bytes(changed)


def real_requests(tiny):
    two = tiny.request(signature="two", x=np.arange(3, dtype=np.float32), n=np.arange(3))
    filtered = tiny.request(x=np.arange(40, dtype=np.float32))
    filtered.output_filter.append("y")
    text = tiny.request(signature="text", s=np.array([b"a", b"bc"], object))
    return [request.SerializeToString() for request in (tiny.request(x=np.ones(2, np.float32)), two, filtered, text)]


def status_of(call, request):
    try:
        call(request, timeout=PATIENCE)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def send_mutated(tiny, count, seed):
    generator = random.Random(seed)
    calls = [tiny.channel.unary_unary(method) for method in METHODS]
    originals = real_requests(tiny)
    for number in range(count):
        request = mutated(generator.choice(originals), generator)
        status = status_of(generator.choice(calls), request)
        assert status in SPECIFIED | {grpc.StatusCode.OK}, (number, request)


def send_mutated_json(url, count, seed):
    generator = random.Random(seed)
    bodies = [b'{"instances": [1.0, 2.0]}', b'{"signature_name": "two", "inputs": {"x": [1.0], "n": [3]}}']
    paths = ["/v1/models/tiny:predict", "/v1/models/tiny/versions/1:classify", "/v1/models/tiny:regress"]
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        for number in range(count):
            body = mutated(generator.choice(bodies), generator)
            response = client.post(generator.choice(paths), content=body)
            assert response.status_code in (200, 400, 404), (number, body, response.text)


def still_right(tiny):
    x = np.array([4.0], np.float32)
    np.testing.assert_array_equal(tf.make_ndarray(tiny.predict(x=x).outputs["y"]), x / 2 + 2)


@pytest.fixture
def url(tiny):
    return f"http://127.0.0.1:{tiny.server._config.rest_api_port}"


def test_a_few_mutated_requests(tiny, url):
    send_mutated(tiny, 500, seed=1)
    send_mutated_json(url, 200, seed=2)
    still_right(tiny)


@pytest.mark.slow
def test_many_mutated_requests(tiny, url):
    count = int(os.environ.get("RECSTACK_FUZZ_REQUESTS", "20000"))
    send_mutated(tiny, count * 3 // 4, seed=3)
    send_mutated_json(url, count // 4, seed=4)
    still_right(tiny)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    signature=st.sampled_from(["serving_default", "two", "text", "total", "nope"]),
    alias=st.sampled_from(["x", "n", "s", ""]),
    dtype=st.integers(0, 120),
    shape=st.lists(st.integers(-(2**62), 2**62) | st.integers(0, 3), max_size=4),
    content=st.binary(max_size=30),
    values=st.lists(st.floats(width=32), max_size=3),
)
def test_any_tensor_is_answered(tiny, signature, alias, dtype, shape, content, values):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "tiny"
    request.model_spec.signature_name = signature
    tensor = request.inputs[alias]
    tensor.dtype = dtype
    tensor.tensor_content = content
    tensor.float_val.extend(values)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    status = status_of(tiny.prediction.Predict, request)
    assert status in SPECIFIED - {grpc.StatusCode.INTERNAL} | {grpc.StatusCode.OK}
