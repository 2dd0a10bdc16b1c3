"""Request log: requests and responses as TFRecords of PredictionLog, for retraining and as warm-up records."""

import logging
import os
import queue
import random
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from features.errors import ConfigError
from serving.api.call import FinishedCall
from serving.api.replay import LOG_FIELDS
from serving.config import ServerConfig
from serving.errors import Code
from serving.metrics import Counter, Metrics

logger = logging.getLogger(__name__)

_MAX_WAITING = 10_000
"""Calls that may wait to be written; more are dropped and counted, so that no client waits for the disk."""
_ROTATION_CHECK_SECONDS = 1.0


class RequestLog:
    """An observer that writes a sample of the successful calls to `DIRECTORY/requests-TIME-PROCESS-N.tfrecord`.

    A file has a leading dot while it is written and is renamed when it is complete, so readers see complete files only.
    """

    def __init__(self, config: ServerConfig, metrics: Metrics) -> None:
        """Starts the writing thread.

        Raises:
            ConfigError: The directory cannot be written.
        """
        self._directory = Path(config.request_log_directory)
        self._rate = config.request_log_sampling_rate
        self._max_bytes = config.request_log_file_bytes
        self._max_seconds = config.request_log_file_seconds
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            (self._directory / f".probe-{os.getpid()}").touch()
            (self._directory / f".probe-{os.getpid()}").unlink()
        except OSError as error:
            expected = f"a directory that can be written: {error.strerror}"
            raise ConfigError("request_log_directory", str(self._directory), expected) from None
        self.counter = Counter(
            "/tensorflow/serving/request_log_count",
            "The total number of requests logged from the model server.",
            ["model_name", "status_code"],
        )
        metrics.add_family(self.counter)
        self._waiting: queue.Queue[FinishedCall | None] = queue.Queue(_MAX_WAITING)
        self._files = 0
        self._thread = threading.Thread(target=self._write_forever, name="request-log", daemon=True)
        self._thread.start()

    def __call__(self, finished: FinishedCall) -> None:
        """Queues a call to be written, if it is sampled."""
        if finished.code is not Code.OK or random.random() >= self._rate:
            return
        try:
            self._waiting.put_nowait(finished)
        except queue.Full:
            self.counter.add(finished.model, Code.RESOURCE_EXHAUSTED.name)

    def close(self) -> None:
        """Writes the queued calls and completes the file."""
        self._waiting.put(None)
        self._thread.join()

    def _write_forever(self) -> None:
        more = True
        while more:
            first = self._waiting.get()
            if first is None:
                return
            try:
                more = self._write_file(first)
            except (OSError, tf.errors.OpError) as error:
                self.counter.add(first.model, Code.DATA_LOSS.name)
                logger.error("request log: %s", error)

    def _write_file(self, first: FinishedCall) -> bool:
        """Writes one file until it is large or old enough; returns False if the log was closed."""
        self._files += 1
        name = f"requests-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{self._files}.tfrecord"
        hidden = self._directory / f".{name}"
        until = time.monotonic() + self._max_seconds
        size, finished = 0, first
        more = True
        with tf.io.TFRecordWriter(str(hidden)) as writer:
            while True:
                record = prediction_log(finished, self._rate).SerializeToString()
                writer.write(record)
                self.counter.add(finished.model, Code.OK.name)
                size += len(record)
                following = None if size >= self._max_bytes else self._next_before(until)
                if following is None or following is _LAST:
                    more = following is None
                    break
                finished = following
        hidden.rename(self._directory / name)
        return more

    def _next_before(self, until: float) -> Any:
        """The next call; None if none arrives in time; `_LAST` if the log was closed."""
        while (left := until - time.monotonic()) > 0:
            try:
                finished = self._waiting.get(timeout=min(left, _ROTATION_CHECK_SECONDS))
            except queue.Empty:
                continue
            return _LAST if finished is None else finished
        return None


_LAST = object()


def prediction_log(finished: FinishedCall, sampling_rate: float) -> prediction_log_pb2.PredictionLog:
    """A call as TensorFlow Serving logs it: request, response, version, time and sampling rate."""
    log = prediction_log_pb2.PredictionLog()
    part = getattr(log, LOG_FIELDS[finished.rpc])
    part.request.CopyFrom(finished.request)
    part.response.CopyFrom(finished.response)
    answered = finished.response.results[0] if finished.rpc == "MultiInference" else finished.response
    log.log_metadata.model_spec.CopyFrom(answered.model_spec)
    log.log_metadata.sampling_config.sampling_rate = sampling_rate
    log.log_metadata.timestamp_secs = int(time.time())
    return log
