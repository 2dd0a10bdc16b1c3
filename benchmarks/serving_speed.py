"""How fast the server answers, beside an empty Python gRPC handler on the same core.

    .venv/bin/python benchmarks/serving_speed.py tiny
    .venv/bin/python benchmarks/serving_speed.py model saved_models/retrieval --signature retrieve
    .venv/bin/python benchmarks/serving_speed.py load localhost:8500 saved_models/retrieval/1 --rate 200

`tiny` serves y = x / 2 + 2; `model` serves an exported model and sends it its own warm-up requests; `load` sends a
model's warm-up requests to a server that already runs. The server has one core to itself and the client another. Read
ratios, not digits: the machine is shared.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from serving.answers import predict_request

PREDICT = "/tensorflow.serving.PredictionService/Predict"
SERVER_CORE, CLIENT_CORE = 0, 1
SERVE = "import sys; from serving.app import serve; sys.exit(serve(sys.argv[1:]))"
EMPTY = """
import sys, grpc
from concurrent.futures import ThreadPoolExecutor
server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
handler = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
methods = grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", {"Predict": handler})
server.add_generic_rpc_handlers((methods,))
server.add_insecure_port("127.0.0.1:" + sys.argv[1])
server.start()
server.wait_for_termination()
"""

Send = Callable[[bytes], object]


@dataclass(frozen=True)
class Result:
    """One run."""

    qps: float
    milliseconds: np.ndarray
    errors: int
    cpu_microseconds: float

    def row(self, name: str, connections: int) -> list[str]:
        """As a line of the table."""
        p50, p99 = np.percentile(self.milliseconds, [50, 99]) if len(self.milliseconds) else (np.nan, np.nan)
        numbers = (self.qps, p50, p99, self.cpu_microseconds)
        return [name, str(connections), *(f"{number:.5g}" for number in numbers), str(self.errors)]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(code: str, *arguments: str, port: int, core: int | None = SERVER_CORE) -> Iterator[psutil.Process]:
    """A server process on one core, ready to answer."""
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.DEVNULL) as process:
        try:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(timeout=300)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def closed_loop(address: str, payloads: list[bytes], connections: int, seconds: float) -> tuple[list[float], int]:
    """Each connection sends its next request once the last is answered; milliseconds of each answer, and errors."""
    stop = time.perf_counter() + seconds

    def send_all(number: int) -> tuple[list[float], int]:
        taken, errors = [], 0
        with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            send = channel.unary_unary(PREDICT)
            while (begun := time.perf_counter()) < stop:
                try:
                    send(payloads[(len(taken) + number) % len(payloads)])
                    taken.append((time.perf_counter() - begun) * 1000)
                except grpc.RpcError:
                    errors += 1
        return taken, errors

    with ThreadPoolExecutor(connections) as pool:
        parts = list(pool.map(send_all, range(connections)))
    return [each for taken, _ in parts for each in taken], sum(errors for _, errors in parts)


def open_loop(address: str, payloads: list[bytes], rate: float, seconds: float) -> tuple[list[float], int]:
    """Requests leave at a fixed rate, whatever the answers do; latencies count from when they should have left."""
    taken: list[float] = []
    errors = [0]
    pending = threading.Semaphore(0)
    total = int(rate * seconds)
    with grpc.insecure_channel(address) as channel:
        send = channel.unary_unary(PREDICT)
        begun = time.perf_counter()
        for number in range(total):
            due = begun + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))

            def answered(call: grpc.Future, due: float = due) -> None:
                if call.exception() is None:
                    taken.append((time.perf_counter() - due) * 1000)
                else:
                    errors[0] += 1
                pending.release()

            send.future(payloads[number % len(payloads)]).add_done_callback(answered)
        for _ in range(total):
            pending.acquire()
    return taken, errors[0]


def measure(process: psutil.Process, address: str, payloads: list[bytes], connections: int, seconds: float) -> Result:
    """A closed loop after a short warm-up."""
    closed_loop(address, payloads, connections, min(1.0, seconds))
    before, begun = sum(process.cpu_times()[:2]), time.perf_counter()
    taken, errors = closed_loop(address, payloads, connections, seconds)
    elapsed, cpu = time.perf_counter() - begun, sum(process.cpu_times()[:2]) - before
    return Result(len(taken) / elapsed, np.array(taken), errors, cpu / max(1, len(taken)) * 1e6)


def warm_up_payloads(version: Path, model: str, signature: str) -> list[bytes]:
    """The model's own warm-up requests for one signature."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    payloads = []
    for record in tf.data.TFRecordDataset(str(version / "assets.extra" / "tf_serving_warmup_requests")):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        if (request.model_spec.signature_name or "serving_default") == signature:
            request.model_spec.name = model
            payloads.append(request.SerializeToString())
    if not payloads:
        raise SystemExit(f"{version}: no warm-up request for signature {signature!r}")
    # The first request is the smallest batch: one query.
    return [min(payloads, key=len)]


def save_tiny(base: Path) -> None:
    """Saves y = x / 2 + 2, in a process of its own: this one stays free of TensorFlow."""
    code = """
import sys, features, tensorflow as tf
class Affine(tf.Module):
    def __init__(self):
        self.a, self.b = tf.Variable(0.5), tf.Variable(2.0)
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def __call__(self, x):
        return {"y": self.a * x + self.b}
tf.saved_model.save(module := Affine(), sys.argv[1], signatures={"serving_default": module.__call__})
"""
    subprocess.run([sys.executable, "-c", code, str(base / "1")], check=True, stderr=subprocess.DEVNULL)


def compare(base: Path, model: str, payloads: list[bytes], arguments: argparse.Namespace) -> None:
    """The empty handler, then the server, at 1 and 8 connections."""
    table = Table("server", "connections", "QPS", "p50 ms", "p99 ms", "server CPU us/call", "errors")
    reached: dict[tuple[str, int], float] = {}
    for name in ("empty handler", "recstack"):
        port = free_port()
        flags = (f"--port={port}", f"--model_name={model}", f"--model_base_path={base.resolve()}", *arguments.flag)
        command = (EMPTY, str(port)) if name == "empty handler" else (SERVE, *flags)
        with server(*command, port=port) as process:
            for connections in (1, 8):
                result = measure(process, f"127.0.0.1:{port}", payloads, connections, arguments.seconds)
                reached[name, connections] = result.qps
                table.add_row(*result.row(name, connections))
    Console().print(table)
    for connections in (1, 8):
        ratio = reached["recstack", connections] / reached["empty handler", connections]
        Console().print(f"at {connections} connections: {ratio:.2f} of the empty handler's QPS")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["tiny", "model", "load"])
    parser.add_argument("places", nargs="*", help="model: its base path; load: address and version directory")
    parser.add_argument("--model", default="model")
    parser.add_argument("--signature", default="serving_default")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float, help="requests a second of an open loop, instead of a closed one")
    parser.add_argument("--flag", action="append", default=[], help="passed on to the server")
    arguments = parser.parse_args()
    if arguments.what == "tiny":
        with tempfile.TemporaryDirectory() as directory:
            save_tiny(Path(directory))
            os.sched_setaffinity(0, {CLIENT_CORE})
            request = predict_request("model", "", {"x": np.array([1.0, 2.0, 5.0], np.float32)})
            compare(Path(directory), "model", [request.SerializeToString()], arguments)
        return
    versions = Path(arguments.places[-1])
    latest = versions if arguments.what == "load" else max(versions.glob("[0-9]*"), key=lambda path: int(path.name))
    payloads = warm_up_payloads(latest, arguments.model, arguments.signature)
    if arguments.what == "model":
        os.sched_setaffinity(0, {CLIENT_CORE})
        compare(versions, arguments.model, payloads, arguments)
        return
    begun = time.perf_counter()
    if arguments.rate:
        taken, errors = open_loop(arguments.places[0], payloads, arguments.rate, arguments.seconds)
    else:
        taken, errors = closed_loop(arguments.places[0], payloads, arguments.connections, arguments.seconds)
    qps = len(taken) / (time.perf_counter() - begun)
    table = Table("server", "connections", "QPS", "p50 ms", "p99 ms", "server CPU us/call", "errors")
    table.add_row(*Result(qps, np.array(taken), errors, float("nan")).row(arguments.places[0], arguments.connections))
    Console().print(table)


if __name__ == "__main__":
    main()
