"""A server in this process: assembles models, RPCs, entrypoints and extras, starts and stops them."""

import logging
from typing import Any

import grpc

from serving.api.call import Gate, Observer, Rpc
from serving.api.dispatch import Dispatcher
from serving.api.grpc import start_grpc
from serving.api.profiler import Profiler
from serving.api.rest.app import RestApp
from serving.api.rest.calls import RestCalls
from serving.api.rest.http_server import HttpServer
from serving.config import ServerConfig
from serving.extras.access_log import AccessLog
from serving.extras.admission import Admission
from serving.extras.request_log import RequestLog
from serving.extras.shadow import Shadow
from serving.loading import VersionLoader
from serving.metrics import DEFAULT_PATH, Metrics
from serving.models.states import StateBoard
from serving.models.store import ModelStore
from serving.protos import MonitoringConfig, read_text
from serving.reloading import ConfigReloader

logger = logging.getLogger(__name__)


class Server:
    """One running server."""

    def __init__(self, config: ServerConfig) -> None:
        """Assembles the server; nothing is loaded and no port is open yet.

        Raises:
            ServingError: A parameters file is invalid.
            ConfigError: A file or directory of an extra cannot be used.
        """
        self._config = config
        self._metrics_path = _metrics_path(config)
        self.metrics = Metrics()
        self.board = StateBoard()
        self._loader = VersionLoader(config, self.metrics)
        self.store = ModelStore(config, self._loader, self.board)
        self._reloader = ConfigReloader(config, self.store, self.metrics)
        self._gate = _gate(config)
        self._observers = self._start_observers()
        self.dispatcher = Dispatcher(config, self.store, self.board, self.metrics, self._observers)
        self._grpc: grpc.Server | None = None
        self._http: HttpServer | None = None

    def start(self) -> None:
        """Loads every configured model, then opens the ports; returns when they are open.

        Raises:
            ServingError: The configuration is invalid, or a model did not become available.
            InputError: A port is in use.
        """
        self.store.start()
        self._reloader.start()
        self._grpc = start_grpc(self._config, self._rpcs(), self._gate)
        logger.info("Running ModelServer at 0.0.0.0:%d ...", self._config.port)
        if self._config.rest_api_port:
            self._start_rest()

    def _rpcs(self) -> dict[str, Rpc]:
        rpcs = self.dispatcher.rpcs() | {"HandleReloadConfigRequest": self._reloader.reload}
        return rpcs | Profiler().rpcs() if self._config.enable_profiler else rpcs

    def _start_rest(self) -> None:
        port = self._config.rest_api_port
        if port == self._config.port:
            logger.error("--rest_api_port=%d cannot be the same as --port: REST is not served", port)
            return
        calls = RestCalls(self.dispatcher)
        app = RestApp(self._config, calls, self.metrics, metrics_path=self._metrics_path, gate=self._gate)
        self._http = HttpServer(app, port, reuse_port=self._config.workers > 1)
        self._http.start()
        logger.info("Exporting HTTP/REST API at: localhost:%d ...", port)

    def _start_observers(self) -> list[Observer]:
        config = self._config
        observers: list[Observer] = []
        if config.access_log_file:
            observers.append(AccessLog(config.access_log_file))
        if config.request_log_directory:
            observers.append(RequestLog(config, self.metrics))
        if config.shadow_label:
            observers.append(Shadow(config, self.store, self.metrics))
        return observers

    def stop(self, grace: float = 5.0) -> None:
        """Refuses new calls, gives running ones `grace` seconds to finish, and ends all threads."""
        self._reloader.stop()
        if self._grpc is not None:
            self._grpc.stop(grace).wait()
        if self._http is not None:
            self._http.stop()
        self.store.stop()
        for observer in self._observers:
            observer.close()
        self._loader.stop()


def _gate(config: ServerConfig) -> Gate | None:
    admission = Admission(config)
    return None if admission.is_open else admission.enter


def _metrics_path(config: ServerConfig) -> str:
    if not config.monitoring_config_file:
        return ""
    monitoring: Any = read_text(
        config.monitoring_config_file, MonitoringConfig(), "tensorflow.serving.MonitoringConfig"
    )
    prometheus = monitoring.prometheus_config
    return (prometheus.path or DEFAULT_PATH) if prometheus.enable else ""
