"""Tiny SavedModels and real servers on free ports."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc

from recstack.local_server import free_port as unused_port
from serving.config import ServerConfig
from serving.server import Server

# The SavedModel loader's deprecation notices are no news to a server that needs a session.
logging.getLogger("tensorflow").setLevel(logging.ERROR)

# Seconds after which a test takes something to hang. They decide nothing where all is well, however busy the machine.
PATIENCE = 60.0

EXAMPLE_SPEC = {"x": tf.io.FixedLenFeature([], tf.float32, 0.0)}


class Tiny(tf.Module):
    """y = x / 2 + b, and one signature for each shape of request the protocol knows."""

    def __init__(self, b: float) -> None:
        super().__init__()
        self.a = tf.Variable(0.5)
        self.b = tf.Variable(b)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def affine(self, x):
        return {"y": self.a * x + self.b}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.float32, name="x"), tf.TensorSpec([None], tf.int64, name="n")]
    )
    def two(self, x, n):
        return {"sum": x + tf.cast(n, tf.float32), "twice_bytes": tf.strings.as_string(2 * n)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="s")])
    def text(self, s):
        return {"s": tf.identity(s), "s_bytes": tf.identity(s)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def total(self, x):
        return {"total": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64, name="n")])
    def loop(self, n):
        steps = tf.while_loop(lambda i, v: i < n, lambda i, v: (i + 1, tf.sin(v)), [tf.constant(0, tf.int64), 1.0])
        return {"v": steps[1]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs):
        x = tf.io.parse_example(inputs, EXAMPLE_SPEC)["x"]
        scores = tf.stack([x, 1.0 - x], axis=1)
        classes = tf.tile(tf.constant([["up", "down"]]), [tf.size(x), 1])
        return {"classes": classes, "scores": scores}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs):
        return {"outputs": self.a * tf.io.parse_example(inputs, EXAMPLE_SPEC)["x"] + self.b}


def save_tiny(path: Path, b: float = 2.0) -> None:
    module = Tiny(b)
    names = ("two", "text", "total", "loop", "classify", "regress")
    signatures = {"serving_default": module.affine, **{name: getattr(module, name) for name in names}}
    staging = path.with_name(f"tmp-{path.name}")
    tf.saved_model.save(module, str(staging), signatures=signatures)
    staging.rename(path)


def save_affine(path: Path, b: float) -> None:
    """Only the default signature: saves in a tenth of a second."""
    module = Tiny(b)
    staging = path.with_name(f"tmp-{path.name}")
    tf.saved_model.save(module, str(staging), signatures={"serving_default": module.affine})
    staging.rename(path)


def save_shared_input(path: Path) -> None:
    """A TensorFlow 1 export: classify and regress share one input tensor, and their method names say so."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        inputs = v1.placeholder(tf.string, [None], name="examples")
        x = tf.io.parse_example(inputs, EXAMPLE_SPEC)["x"]
        info = v1.saved_model.utils.build_tensor_info
        build = v1.saved_model.signature_def_utils.build_signature_def
        feed = {"inputs": info(inputs)}
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signature_def_map={
                "classify": build(feed, {"scores": info(tf.stack([x, -x], axis=1))}, "tensorflow/serving/classify"),
                "regress": build(feed, {"outputs": info(10.0 * x)}, "tensorflow/serving/regress"),
                "odd": build(feed, {"outputs": info(x)}, "somebody/elses/method"),
            },
        )
        builder.save()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base path with version 1 of `Tiny` (b = 2)."""
    base = tmp_path_factory.mktemp("tiny")
    save_tiny(base / "1")
    return base


@pytest.fixture(scope="session")
def affine_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base path with versions 1, 2 and 3: y = x / 2 + version."""
    base = tmp_path_factory.mktemp("affine")
    for version in (1, 2, 3):
        save_affine(base / str(version), float(version))
    return base


@pytest.fixture(scope="session")
def shared_input_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("shared")
    save_shared_input(base / "1")
    return base


class Client:
    """A running server and plain gRPC stubs to it."""

    def __init__(self, server: Server, address: str) -> None:
        self.server = server
        self.address = address
        self.channel = grpc.insecure_channel(address)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def predict(self, name: str = "tiny", signature: str = "", timeout: float = PATIENCE, **inputs: Any) -> Any:
        return self.prediction.Predict(self.request(name, signature, **inputs), timeout=timeout)

    @staticmethod
    def request(name: str = "tiny", signature: str = "", **inputs: Any) -> predict_pb2.PredictRequest:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        request.model_spec.signature_name = signature
        for alias, value in inputs.items():
            request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
        return request

    @staticmethod
    def refused(call: Callable[..., Any], request: Any, code: grpc.StatusCode, timeout: float = PATIENCE) -> str:
        """Makes a call that must fail with this code; returns the message."""
        with pytest.raises(grpc.RpcError) as caught:
            call(request, timeout=timeout)
        assert caught.value.code() is code, caught.value
        return str(caught.value.details())

    def wait_until(self, done: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Waits for a condition, having the store look for versions more often than its flag's whole seconds."""
        deadline = time.monotonic() + seconds
        while not done():
            self.server.store.poll()
            assert time.monotonic() < deadline, "the condition did not come true in time"
            time.sleep(0.01)

    def states(self, name: str) -> dict[int, int]:
        """Version to state number."""
        return {number: int(status.state) for number, status in self.server.board.of(name).items()}


StartServer = Callable[..., Client]


@contextlib.contextmanager
def running(**flags: Any) -> Iterator[Client]:
    flags.setdefault("port", unused_port())
    server = Server(ServerConfig(**flags))
    server.start()
    client = Client(server, f"127.0.0.1:{flags['port']}")
    try:
        yield client
    finally:
        client.channel.close()
        server.stop(grace=0.1)


@pytest.fixture(scope="session")
def running_server() -> Callable[..., contextlib.AbstractContextManager[Client]]:
    """The context manager behind `start_server`, for fixtures that live longer than a test."""
    return running


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Starts servers by flag; stops them after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **flags: stack.enter_context(running(**flags))


@pytest.fixture(scope="session")
def tiny(tiny_model: Path) -> Iterator[Client]:
    """A server of `Tiny` under the name tiny, for tests that change nothing."""
    with running(model_name="tiny", model_base_path=str(tiny_model), rest_api_port=unused_port()) as client:
        yield client


@pytest.fixture
def x() -> np.ndarray:
    return np.array([1.0, 2.0, 5.0], np.float32)


@pytest.fixture
def free_port() -> int:
    return unused_port()
