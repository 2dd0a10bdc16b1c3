"""Loads a version for the store: SavedModel, batching queues, warm-up; counts attempts and times."""

import logging
import os
import time
from pathlib import Path
from typing import Any

from serving.api.replay import replay
from serving.config import ServerConfig
from serving.errors import from_exception, invalid_argument
from serving.metrics import LATENCY_BUCKETS, Counter, Histogram, Metrics
from serving.models import tflite
from serving.models.batching.options import BatchingOptions
from serving.models.batching.queues import BatchScheduler
from serving.models.op_libraries import load_op_libraries
from serving.models.saved_model import load_saved_model
from serving.models.servable import Servable
from serving.models.session import session_options
from serving.models.warmup import warm_up
from serving.protos import BatchingParameters, read_text

logger = logging.getLogger(__name__)

BATCHING_FILE = "batching_params.pbtxt"
"""Batching parameters in a version directory."""


class VersionLoader:
    """Makes versions ready to serve."""

    def __init__(self, config: ServerConfig, metrics: Metrics) -> None:
        """Reads the session and batching parameters.

        Raises:
            ServingError: A parameters file cannot be read, or `--batching_parameters_file` is given without batching.
            ConfigError: An operation library cannot be loaded, or LiteRT is needed and not installed.
        """
        load_op_libraries(config.op_libraries)
        if config.prefer_tflite_model:
            tflite.check_installed()
        self._config = config
        self._metrics = metrics
        self._tags = config.saved_model_tags.split(",")
        self._session_options = session_options(config)
        self._batching = _batching_options(config)
        self._scheduler = None if self._batching is None else _start_scheduler(self._batching, metrics)

    def __call__(self, name: str, version: int, path: str) -> Servable:
        """Loads a version directory, sets up its batching and replays its warm-up requests.

        Raises:
            ServingError: The version cannot be loaded, or a warm-up request fails.
        """
        batching = self._batching_of(path)
        started = time.perf_counter()
        try:
            servable = self._load(name, version, path)
        except BaseException:
            self._metrics.load_attempts.add(path, "fail")
            raise
        self._metrics.load_attempts.add(path, "success")
        self._metrics.load_latency.add(path, by=_microseconds_since(started))
        if self._scheduler is not None and batching is not None:
            servable.batch(self._scheduler, batching)
        if self._config.enable_model_warmup:
            self._warm_up(servable, path)
        return servable

    def _load(self, name: str, version: int, path: str) -> Servable:
        if self._config.prefer_tflite_model and tflite.has_tflite_model(path):
            return tflite.load_tflite(name, version, path, self._config.num_tflite_interpreters)
        return load_saved_model(name, version, path, self._tags, self._session_options)

    def stop(self) -> None:
        """Ends the batching threads."""
        if self._scheduler is not None:
            self._scheduler.stop()

    def _batching_of(self, path: str) -> BatchingOptions | None:
        own = Path(path) / BATCHING_FILE
        if self._batching is not None and self._config.enable_per_model_batching_parameters and own.is_file():
            return _read_batching(str(own))
        return self._batching

    def _warm_up(self, servable: Servable, path: str) -> None:
        iterations = self._config.num_request_iterations_for_warmup
        started = time.perf_counter()
        status = "OK"
        try:
            records = warm_up(path, lambda log: replay(servable, log), iterations)
        except BaseException as error:
            status = from_exception(error).code.name
            servable.close()
            raise
        finally:
            self._metrics.warmup_latency.add(path, status, value=_microseconds_since(started))
        self._metrics.warmup_records.add(path, status, by=records)
        if records:
            logger.info("%s version %d: %d warm-up records replayed", servable.name, servable.version, records)


def _microseconds_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e6


def _batching_options(config: ServerConfig) -> BatchingOptions | None:
    if not config.enable_batching:
        if config.batching_parameters_file:
            raise invalid_argument("--batching_parameters_file is set without setting --enable_batching to true")
        return None
    return _read_batching(config.batching_parameters_file)


def _read_batching(path: str) -> BatchingOptions:
    parameters: Any = BatchingParameters()
    if path:
        read_text(path, parameters, "tensorflow.serving.BatchingParameters")
    return BatchingOptions.from_proto(parameters, len(os.sched_getaffinity(0)))


def _start_scheduler(options: BatchingOptions, metrics: Metrics) -> BatchScheduler:
    session = "/tensorflow/serving/batching_session/"
    latency = Histogram(
        f"{session}queuing_latency",
        "Distribution of wall time spent (in microseconds) in queuing",
        ["thread_pool_name"],
        LATENCY_BUCKETS,
    )
    runs = Counter(f"{session}wrapped_run_count", "Total count of run calls on the wrapped session", [])
    metrics.add_family(latency)
    metrics.add_family(runs)
    return BatchScheduler(
        options.num_batch_threads, lambda pool, seconds: latency.add(pool, value=seconds * 1e6), runs.add
    )
