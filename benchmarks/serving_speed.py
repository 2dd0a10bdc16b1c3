"""How fast the server answers, beside an empty Python gRPC handler on the same core.

    .venv/bin/python benchmarks/serving_speed.py tiny
    .venv/bin/python benchmarks/serving_speed.py made 100000
    .venv/bin/python benchmarks/serving_speed.py all
    .venv/bin/python benchmarks/serving_speed.py model saved_models/retrieval --signature retrieve

`tiny` serves y = x / 2 + 2; `made` serves retrieval and the cascade over so many items, by the ranking model and by the
list ranker, untrained but of full size (benchmarks/served_models.py); `all` is both; `model` serves an exported model.
The empty handler runs twice: as gRPC comes, and with the setting of gRPC that the server chooses for itself. Models get
their own warm-up requests, one query each.
The server has one core to itself and the client another. Read ratios, not digits, where the machine is shared.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from features.disk.exported import ModelLayout
from serving.client import predict_request
from serving.extras.load_generator import Outcome, closed_loop, recorded_requests
from serving.process import GRPC_EXPERIMENTS

MODEL = "model"
SERVER_CORE, CLIENT_CORE = 0, 1
PLAIN, TUNED = "empty handler", "empty, tuned gRPC"
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


@dataclass(frozen=True)
class Result:
    """One run."""

    outcome: Outcome
    cpu_microseconds: float
    """Of the server, a call."""

    def row(self, name: str, connections: int) -> list[str]:
        """As a line of the table."""
        outcome = self.outcome
        numbers = (outcome.answers_per_second, *map(outcome.percentile, (50, 99)), self.cpu_microseconds)
        errors = str(sum(outcome.errors.values()))
        return [name, str(connections), *(f"{number:.5g}" for number in numbers), errors]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(
    code: str, *arguments: str, port: int, core: int | None = SERVER_CORE, environment: Mapping[str, str] | None = None
) -> Iterator[psutil.Process]:
    """A server process on one core, ready to answer."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, **(environment or {})}) as process:
        try:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(timeout=300)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def measure(process: psutil.Process, address: str, payloads: list[bytes], connections: int, seconds: float) -> Result:
    """A closed loop after a short warm-up."""
    closed_loop(address, payloads, connections=connections, seconds=min(1.0, seconds))
    before = sum(process.cpu_times()[:2])
    outcome = closed_loop(address, payloads, connections=connections, seconds=seconds)
    cpu = sum(process.cpu_times()[:2]) - before
    return Result(outcome, cpu / max(1, len(outcome.milliseconds)) * 1e6)


def one_query(base: Path, model: str, signature: str) -> list[bytes]:
    """The smallest of the newest version's warm-up requests: one query."""
    layout = ModelLayout(base)
    return [min(recorded_requests(layout.warmup_requests(layout.versions()[-1]), model, signature), key=len)]


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


def compare(base: Path, payloads: list[bytes], seconds: float, flags: list[str]) -> None:
    """The empty handlers, then the server, at 1 and 8 connections."""
    table = Table("server", "connections", "QPS", "p50 ms", "p99 ms", "server CPU us/call", "errors")
    reached: dict[tuple[str, int], float] = {}
    os.sched_setaffinity(0, {CLIENT_CORE})
    for name in (PLAIN, TUNED, "recstack"):
        port = free_port()
        server_flags = (f"--port={port}", f"--model_name={MODEL}", f"--model_base_path={base.resolve()}", *flags)
        command = (SERVE, *server_flags) if name == "recstack" else (EMPTY, str(port))
        environment = {"GRPC_EXPERIMENTS": GRPC_EXPERIMENTS} if name == TUNED else None
        with server(*command, port=port, environment=environment) as process:
            for connections in (1, 8):
                result = measure(process, f"127.0.0.1:{port}", payloads, connections, seconds)
                reached[name, connections] = result.outcome.answers_per_second
                table.add_row(*result.row(name, connections))
    Console(width=110).print(table)
    for connections in (1, 8):
        plain, tuned = (reached["recstack", connections] / reached[name, connections] for name in (PLAIN, TUNED))
        print(f"at {connections} connections: {plain:.2f} of the empty handler's QPS, {tuned:.2f} of the tuned one's")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["tiny", "model", "made", "all"])
    parser.add_argument(
        "place", nargs="?", help="model: its base path; made and all: number of items, 100000 by default"
    )
    parser.add_argument("--signature", default="serving_default")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--flag", action="append", default=[], help="passed on to the server")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        if arguments.what == "model":
            payloads = one_query(Path(arguments.place), MODEL, arguments.signature)
            compare(Path(arguments.place), payloads, arguments.seconds, arguments.flag)
        if arguments.what in ("tiny", "all"):
            save_tiny(Path(directory) / "tiny")
            request = predict_request(MODEL, "", {"x": np.array([1.0, 2.0, 5.0], np.float32)})
            print("y = x / 2 + 2")
            compare(Path(directory) / "tiny", [request.SerializeToString()], arguments.seconds, arguments.flag)
        if arguments.what in ("made", "all"):
            make_models(Path(directory), arguments.place or "100000")
            cascades = (("recommender", "serving_default"), ("list_recommender", "serving_default"))
            for base, signature in (("retrieval", "retrieve"), *cascades):
                print(f"{base}, {signature}")
                payloads = one_query(Path(directory) / base, MODEL, signature)
                compare(Path(directory) / base, payloads, arguments.seconds, arguments.flag)


def make_models(directory: Path, items: str) -> None:
    """Untrained servables of full size, in a process of its own."""
    maker = Path(__file__).with_name("served_models.py")
    subprocess.run([sys.executable, str(maker), str(directory), items], check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
