"""Serves under load while new versions come, and checks every answer and the server's memory.

    .venv/bin/python benchmarks/soak.py --minutes 30

Version v of the model is y = x / 2 + v beside a table of 8 MiB, so that a version that is not freed shows. Half of what
the server can do is sent for so long, over both gRPC and REST, and a new version is published every 20 seconds by
renaming it into place; old ones are removed. An answer is right if it is the one of the version it names and no version
is named again after a newer one. Memory is the server's resident set, after a warm-up of a tenth of the time. Exits
with 1 where an answer failed or was wrong, or memory grew by more than 5 percent.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import psutil

from features.protocol.wire import PredictRequest, PredictResponse
from serving.client import PREDICT, predict_request, read_outputs
from serving.extras.load_generator import closed_loop

MODEL, KEPT_VERSIONS, MAX_GROWTH = "soak", 2, 0.05
TABLE_VALUES = 2 * 2**20
SERVE = "import sys; from serving.app import serve; sys.exit(serve(sys.argv[1:]))"
SAVE = """
import sys, features, tensorflow as tf
class Affine(tf.Module):
    def __init__(self, version, values):
        self.b, self.table = tf.Variable(float(version)), tf.Variable(tf.zeros([values]))
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def __call__(self, x):
        return {"y": x / 2 + self.b + tf.gather(self.table, 0)}
for line in sys.stdin:
    version, path = line.split()
    module = Affine(int(version), int(sys.argv[1]))
    tf.saved_model.save(module, path, signatures={"serving_default": module.__call__})
    print("saved", flush=True)
"""


@dataclass
class Tally:
    """What the callers saw."""

    answers: int = 0
    wrong: list[str] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    versions: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, version: int, right: bool, newest: int) -> None:
        """One answer; `newest` is the newest version that its caller had seen before."""
        with self.lock:
            self.answers += 1
            self.versions.add(version)
            if not right or version < newest:
                self.wrong.append(f"version {version} after {newest}, {'right' if right else 'wrong'} value")


class Publisher:
    """Makes versions in a process of its own and renames them into place."""

    def __init__(self, base: Path) -> None:
        """Publishes below `base`."""
        self._base = base
        command = [sys.executable, "-c", SAVE, str(TABLE_VALUES)]
        pipe = subprocess.PIPE
        self._saver = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        self.version = 0

    def publish(self) -> None:
        """The next version; the oldest one goes."""
        self.version += 1
        staging = self._base / f"tmp-{self.version}"
        assert self._saver.stdin is not None
        assert self._saver.stdout is not None
        print(self.version, staging, file=self._saver.stdin, flush=True)
        if self._saver.stdout.readline() != "saved\n":
            raise SystemExit("the version could not be saved")
        staging.rename(self._base / str(self.version))
        shutil.rmtree(self._base / str(self.version - KEPT_VERSIONS), ignore_errors=True)

    def close(self) -> None:
        """Ends the process."""
        self._saver.terminate()
        self._saver.wait()


def call_grpc(address: str, rate: float, until: float, tally: Tally) -> None:
    """Asks by gRPC at a rate until a time."""
    newest, number = 0, 0
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        send = channel.unary_unary(PREDICT, PredictRequest.SerializeToString, PredictResponse.FromString)
        for x in paced(rate, until):
            number += 1
            try:
                # Every other call has a deadline: the server runs the two on different paths.
                response = send(predict_request(MODEL, "", {"x": x}), timeout=10.0 if number % 2 else None)
            except grpc.RpcError as error:
                tally.failures[error.code().name] += 1
                continue
            version = response.model_spec.version.value
            tally.count(version, np.array_equal(read_outputs(response)["y"], x / 2 + version), newest)
            newest = version


def call_rest(port: int, rate: float, until: float, tally: Tally) -> None:
    """Asks by REST, whose replies name no version: the value says which one it was."""
    newest = 0
    for x in paced(rate, until):
        body = json.dumps({"instances": x.tolist()}).encode()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models/{MODEL}:predict", body, 10) as reply:
                values = np.array(json.load(reply)["predictions"]) - x / 2
        except OSError as error:
            tally.failures[str(error)] += 1
            continue
        tally.count(int(values[0]), len(set(values.tolist())) == 1, newest)
        newest = int(values[0])


def paced(rate: float, until: float) -> Iterator[np.ndarray]:
    """An input whenever the next call is due; calls that are late are not made up for."""
    generator = np.random.default_rng()
    due = time.monotonic()
    while time.monotonic() < until:
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due + 1 / rate, time.monotonic() - 1.0)
        yield generator.integers(0, 100, 3).astype(np.float32)


@contextmanager
def serving(base: Path, port: int, rest_port: int) -> Iterator[psutil.Process]:
    """The server, until the block ends."""
    flags = [f"--port={port}", f"--rest_api_port={rest_port}", f"--model_name={MODEL}", f"--model_base_path={base}"]
    with subprocess.Popen([sys.executable, "-c", SERVE, *flags], stderr=subprocess.DEVNULL) as process:
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(timeout=120)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def soak(base: Path, seconds: float, every: float) -> tuple[Tally, list[float], float]:
    """Returns what the callers saw, the server's memory in MiB once a second, and the calls a second that were sent."""
    port, rest_port = ports()
    publisher = Publisher(base)
    try:
        publisher.publish()
        with serving(base, port, rest_port) as process:
            payload = predict_request(MODEL, "", {"x": np.ones(3, np.float32)}).SerializeToString()
            address = f"127.0.0.1:{port}"
            capacity = closed_loop(address, [payload], connections=4, seconds=min(5.0, seconds / 10)).answers_per_second
            tally, until, memory = Tally(), time.monotonic() + seconds, []
            rates = [capacity / 2 * 0.3] * 3 + [min(50.0, capacity / 2 * 0.1)]
            callers = [threading.Thread(target=call_grpc, args=(address, rate, until, tally)) for rate in rates[:3]]
            callers.append(threading.Thread(target=call_rest, args=(rest_port, rates[3], until, tally)))
            for caller in callers:
                caller.start()
            following = time.monotonic() + every
            while time.monotonic() < until:
                memory.append(process.memory_info().rss / 2**20)
                if time.monotonic() >= following:
                    publisher.publish()
                    following += every
                time.sleep(min(1.0, every / 4))
            for caller in callers:
                caller.join()
    finally:
        publisher.close()
    return tally, memory, sum(rates)


def ports() -> tuple[int, int]:
    """Two ports nobody listens on."""
    import socket

    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def growth(memory: list[float]) -> tuple[float, float]:
    """Memory after the warm-up and at the end: the medians of the second and of the last tenth of the readings.

    Both stretches hold several loads and unloads, during which two versions are in memory.
    """
    tenth = max(1, len(memory) // 10)
    return float(np.median(memory[tenth : 2 * tenth])), float(np.median(memory[-tenth:]))


def main() -> int:
    """Reads the command line, soaks, says what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two versions")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as directory:
        tally, memory, rate = soak(Path(directory), arguments.minutes * 60, arguments.every)
    first, last = growth(memory)
    print(f"{arguments.minutes:g} minutes, {rate:.0f} calls a second asked for, {tally.answers:,} answers")
    print(f"{len(tally.versions)} versions answered; failed: {dict(tally.failures) or 0}; wrong: {len(tally.wrong)}")
    print(f"memory: {first:.0f} MiB after the warm-up, {last:.0f} MiB at the end, {last / first - 1:+.1%}")
    for line in tally.wrong[:5]:
        print(line)
    return int(bool(tally.wrong or tally.failures or last > first * (1 + MAX_GROWTH)))


if __name__ == "__main__":
    sys.exit(main())
