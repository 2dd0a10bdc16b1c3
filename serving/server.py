"""A server in this process: models, gRPC and REST, from start to stop."""

import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import grpc
from tensorflow_serving.apis import model_management_pb2

from serving.api.call import Call, Observer
from serving.api.dispatch import Dispatcher
from serving.api.grpc import start_grpc
from serving.api.rest.api import RestApi, RestSettings
from serving.api.rest.http_server import HttpServer
from serving.config import ServerConfig
from serving.errors import Code, ServingError, from_exception, invalid_argument
from serving.extras.access_log import AccessLog
from serving.extras.admission import Admission
from serving.extras.request_log import RequestLog
from serving.extras.shadow import Shadow
from serving.metrics import DEFAULT_PATH, LATENCY_BUCKETS, Counter, Histogram, Metrics
from serving.models.batching import BatchingOptions, BatchScheduler
from serving.models.model_config import check_logging, checked_labels, checked_models, configured_models
from serving.models.servable import Servable, load
from serving.models.session import session_options
from serving.models.states import StateBoard
from serving.models.store import ModelStore
from serving.models.warmup import warm_up
from serving.protos import BatchingParameters, MonitoringConfig, read_text

logger = logging.getLogger(__name__)


class Server:
    """One running server. `start` returns when its ports are open; `stop` ends it."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self.board = StateBoard()
        self._options = session_options(config)
        self._metrics_path = _metrics_path(config)
        self.store = ModelStore(config, self._load, self.board)
        self.metrics = Metrics()
        self._batching = _batching_options(config)
        self._scheduler = self._start_batching() if self._batching is not None else None
        self._admission = Admission(config)
        self._access_log = AccessLog(config.access_log_file) if config.access_log_file else None
        self._request_log = RequestLog(config) if config.request_log_directory else None
        self._shadow = Shadow(config, self.store) if config.shadow_label else None
        self.dispatcher = Dispatcher(config, self.store, self.board, self.metrics, self._observers())
        self._reloading = threading.Lock()
        self._stopped = threading.Event()
        self._models: dict[str, Any] = {}
        self._grpc: grpc.Server | None = None
        self._http: HttpServer | None = None

    def start(self) -> None:
        """Loads every configured model, then opens the ports.

        Raises:
            ServingError: a config is not usable, or a model did not become available.
            InputError: a port is in use.
        """
        self.store.start()
        config_text = self._config_text()
        self._apply(configured_models(self._config), "servable")
        self._grpc = start_grpc(self._config, self.dispatcher, self._reload_by_request, self._admission)
        logger.info("Running ModelServer at 0.0.0.0:%d ...", self._config.port)
        if self._config.rest_api_port:
            self._start_rest()
        if self._config.model_config_file and self._config.model_config_file_poll_wait_seconds > 0:
            threading.Thread(target=self._reload_by_file, args=(config_text,), name="config-poll", daemon=True).start()

    def _start_rest(self) -> None:
        port = self._config.rest_api_port
        if port == self._config.port:
            logger.error("--rest_api_port=%d cannot be the same as --port: REST is not served", port)
            return
        settings = RestSettings(
            timeout_seconds=self._config.rest_api_timeout_in_ms / 1000,
            cors=self._config.rest_api_enable_cors_support,
            metrics_path=self._metrics_path,
            max_body_bytes=self._config.max_request_bytes,
        )
        api = RestApi(self._config, settings, self.dispatcher, self.metrics, self._admission)
        self._http = HttpServer(api, port, reuse_port=self._config.workers > 1)
        self._http.start()
        logger.info("Exporting HTTP/REST API at: localhost:%d ...", port)

    def stop(self, grace: float = 5.0) -> None:
        """Refuses new calls, lets running ones finish for `grace` seconds, ends the threads."""
        self._stopped.set()
        if self._grpc is not None:
            self._grpc.stop(grace).wait()
        if self._http is not None:
            self._http.stop()
        self.store.stop()
        for part in (self._access_log, self._request_log, self._shadow):
            if part is not None:
                part.close()
        if self._scheduler is not None:
            self._scheduler.stop()

    def _load(self, name: str, version: int, path: str) -> Servable:
        tags = self._config.saved_model_tags.split(",")
        batching = _options_of_version(self._config, path, self._batching)
        started = time.perf_counter()
        try:
            servable = load(name, version, path, tags, self._options)
        except BaseException:
            self.metrics.load_attempts.add(path, "fail")
            raise
        self.metrics.load_attempts.add(path, "success")
        self.metrics.load_latency.add(path, by=(time.perf_counter() - started) * 1e6)
        if self._scheduler is not None and batching is not None:
            servable.batch(self._scheduler, batching)
        if self._config.enable_model_warmup:
            self._warm_up(servable, path)
        return servable

    def _observers(self) -> list[Observer]:
        observers: list[Observer] = []
        if self._access_log is not None:
            observers.append(self._access_log)
        if self._request_log is not None:
            self.metrics.add_family(self._request_log.counter)
            observers.append(self._request_log)
        if self._shadow is not None:
            self.metrics.add_family(self._shadow.count)
            self.metrics.add_family(self._shadow.overlap)
            observers.append(self._shadow)
        return observers

    def _start_batching(self) -> BatchScheduler:
        assert self._batching is not None
        session = "/tensorflow/serving/batching_session/"
        latency = Histogram(
            f"{session}queuing_latency",
            "Distribution of wall time spent (in microseconds) in queuing",
            ["thread_pool_name"],
            LATENCY_BUCKETS,
        )
        runs = Counter(f"{session}wrapped_run_count", "Total count of run calls on the wrapped session", [])
        self.metrics.add_family(latency)
        self.metrics.add_family(runs)
        return BatchScheduler(
            self._batching.num_batch_threads, lambda pool, seconds: latency.add(pool, value=seconds * 1e6), runs.add
        )

    def _warm_up(self, servable: Servable, path: str) -> None:
        started = time.perf_counter()
        status = "OK"
        try:
            records = warm_up(servable, path, self._config.num_request_iterations_for_warmup)
        except BaseException as error:
            status = from_exception(error).code.name
            servable.close()
            raise
        finally:
            self.metrics.warmup_latency.add(path, status, value=(time.perf_counter() - started) * 1e6)
        self.metrics.warmup_records.add(path, status, by=records)
        if records:
            logger.info("%s version %d: %d warm-up records replayed", servable.name, servable.version, records)

    def _apply(self, config: Any, noun: str, timeout: float | None = None) -> None:
        with self._reloading:
            models = checked_models(config)
            new = [name for name in models if name not in self._models]
            self._models = models
            self.store.set_models(models)
            self.store.wait_until_available(new, noun, timeout)
            check_logging(models)
            self.store.set_labels(checked_labels(models))

    def _reload_by_request(self, request: Any, call: Call) -> Any:
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        if self._config.workers > 1:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                "With --workers a request reaches one process only: change --model_config_file and set "
                "--model_config_file_poll_wait_seconds",
            )
        before = {path: sum(self.metrics.totals(path).values()) for path in request.metric_names}
        self._apply(request.config, "model", call.timeout)
        response = model_management_pb2.ReloadConfigResponse()
        for path, counted in before.items():
            increase = sum(self.metrics.totals(path).values()) - counted
            response.metric.add(name=path, int64_value_increase=int(increase))
        return response

    def _config_text(self) -> bytes:
        # Unreadable counts as empty: the parser that comes next says what is wrong.
        try:
            return Path(self._config.model_config_file).read_bytes()
        except OSError:
            return b""

    def _reload_by_file(self, applied: bytes) -> None:
        while not self._stopped.wait(self._config.model_config_file_poll_wait_seconds):
            text = self._config_text()
            if text == applied:
                continue
            applied = text
            try:
                self._apply(configured_models(self._config), "model")
            except ServingError as error:
                logger.error("%s: not applied, serving goes on: %s", self._config.model_config_file, error.message)


def _metrics_path(config: ServerConfig) -> str:
    if not config.monitoring_config_file:
        return ""
    monitoring: Any = read_text(
        config.monitoring_config_file, MonitoringConfig(), "tensorflow.serving.MonitoringConfig"
    )
    prometheus = monitoring.prometheus_config
    return (prometheus.path or DEFAULT_PATH) if prometheus.enable else ""


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


def _options_of_version(config: ServerConfig, path: str, general: BatchingOptions | None) -> BatchingOptions | None:
    own = Path(path) / "batching_params.pbtxt"
    if general is not None and config.enable_per_model_batching_parameters and own.is_file():
        return _read_batching(str(own))
    return general
