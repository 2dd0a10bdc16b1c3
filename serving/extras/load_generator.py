"""Load generator: sends requests in a closed or an open loop and measures latencies.

A closed loop has a fixed number of connections, each of which sends its next request when the last one is answered: it
measures the server's throughput. An open loop sends at a fixed rate, however slow the answers are, and measures each
latency from the moment the request was due: it measures what users wait at that rate, queueing included.
"""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from features.errors import InputError
from features.protocol.wire import PredictionLog
from features.records.tfrecords import read_tfrecords
from serving.client.messages import DEFAULT_SIGNATURE, PREDICT

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of a run."""

    seconds: float
    """Duration of the run."""
    milliseconds: NDArray[np.float64]
    """Latency of each successful call."""
    errors: Counter[str]
    """Number of failed calls by status."""

    @property
    def answers_per_second(self) -> float:
        """Successful calls per second."""
        return len(self.milliseconds) / self.seconds

    def percentile(self, share: float) -> float:
        """Latency in milliseconds of the given percentile of the successful calls; NaN without any."""
        return float(np.percentile(self.milliseconds, share)) if len(self.milliseconds) else float("nan")


def recorded_requests(path: Path, model: str, signature: str) -> list[bytes]:
    """Reads the requests in a file of warm-up records or in a request log, serialized.

    Args:
        path: TFRecord file of `PredictionLog`.
        model: Model that the requests are readdressed to.
        signature: Signature of the requests to return.

    Raises:
        InputError: The file cannot be read, or holds no such request.
    """
    requests, found = [], set()
    for record in read_tfrecords(path):
        request = PredictionLog.FromString(record).predict_log.request
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        found.add(name)
        if name == signature:
            request.model_spec.Clear()
            request.model_spec.name = model
            request.model_spec.signature_name = signature
            requests.append(request.SerializeToString())
    if not requests:
        raise InputError(f"{path}: no request for signature {signature!r}; it has some for {', '.join(sorted(found))}")
    return requests


def closed_loop(
    address: str, requests: Sequence[bytes], *, connections: int, seconds: float, timeout: float | None = None
) -> Outcome:
    """Sends requests for `seconds` on several connections, each of which waits for its answer before the next."""
    begun = time.perf_counter()

    def send_all(number: int) -> tuple[list[float], Counter[str]]:
        taken: list[float] = []
        errors: Counter[str] = Counter()
        with grpc.insecure_channel(address, options=_OPTIONS) as channel:
            send: Any = channel.unary_unary(PREDICT)
            turn = number
            while (sent := time.perf_counter()) < begun + seconds:
                try:
                    send(requests[turn % len(requests)], timeout=timeout)
                    taken.append((time.perf_counter() - sent) * 1000)
                except grpc.RpcError as error:
                    errors[error.code().name] += 1
                turn += 1
        return taken, errors

    with ThreadPoolExecutor(connections) as pool:
        parts = list(pool.map(send_all, range(connections)))
    elapsed = time.perf_counter() - begun
    taken = np.array([each for part, _ in parts for each in part])
    return Outcome(seconds=elapsed, milliseconds=taken, errors=sum((errors for _, errors in parts), Counter()))


def open_loop(
    address: str, requests: Sequence[bytes], *, rate: float, seconds: float, timeout: float | None = None
) -> Outcome:
    """Sends `rate` requests per second for `seconds` on one connection, without waiting for answers."""
    taken: list[float] = []
    errors: Counter[str] = Counter()
    answered = threading.Semaphore(0)
    total = max(1, int(rate * seconds))
    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        grpc.channel_ready_future(channel).result(timeout)
        send: Any = channel.unary_unary(PREDICT)
        begun = time.perf_counter()
        for number in range(total):
            due = begun + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))

            def note(call: Any, due: float = due) -> None:
                if call.exception() is None:
                    taken.append((time.perf_counter() - due) * 1000)
                else:
                    errors[call.code().name] += 1
                answered.release()

            send.future(requests[number % len(requests)], timeout=timeout).add_done_callback(note)
        for _ in range(total):
            answered.acquire()
        elapsed = time.perf_counter() - begun
    return Outcome(seconds=elapsed, milliseconds=np.array(taken), errors=errors)
