"""A server in this process: models, gRPC and REST, from start to stop."""

import logging
import threading
from pathlib import Path
from typing import Any

import grpc
from tensorflow_serving.apis import model_management_pb2

from serving.config import ServerConfig
from serving.dispatch import Dispatcher
from serving.errors import ServingError, invalid_argument
from serving.grpc_api import start_grpc
from serving.model_config import check_logging, checked_labels, checked_models, configured_models
from serving.servable import Servable, load
from serving.session import session_options
from serving.states import StateBoard
from serving.store import ModelStore
from serving.warmup import warm_up

logger = logging.getLogger(__name__)


class Server:
    """One running server. `start` returns when its ports are open; `stop` ends it."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self.board = StateBoard()
        self._options = session_options(config)
        self.store = ModelStore(config, self._load, self.board)
        self.dispatcher = Dispatcher(config, self.store, self.board)
        self._reloading = threading.Lock()
        self._stopped = threading.Event()
        self._models: dict[str, Any] = {}
        self._grpc: grpc.Server | None = None

    def start(self) -> None:
        """Loads every configured model, then opens the ports.

        Raises:
            ServingError: a config is not usable, or a model did not become available.
            InputError: a port is in use.
        """
        self.store.start()
        config_text = self._config_text()
        self._apply(configured_models(self._config), "servable")
        self._grpc = start_grpc(self._config, self.dispatcher, self._reload_by_request)
        logger.info("Running ModelServer at 0.0.0.0:%d ...", self._config.port)
        if self._config.model_config_file and self._config.model_config_file_poll_wait_seconds > 0:
            threading.Thread(target=self._reload_by_file, args=(config_text,), name="config-poll", daemon=True).start()

    def stop(self, grace: float = 5.0) -> None:
        """Refuses new calls, lets running ones finish for `grace` seconds, ends the threads."""
        self._stopped.set()
        if self._grpc is not None:
            self._grpc.stop(grace).wait()
        self.store.stop()

    def _load(self, name: str, version: int, path: str) -> Servable:
        tags = self._config.saved_model_tags.split(",")
        servable = load(name, version, path, tags, self._options)
        try:
            if self._config.enable_model_warmup:
                records = warm_up(servable, path, self._config.num_request_iterations_for_warmup)
                logger.info("%s version %d: %d warm-up records replayed", name, version, records)
        except BaseException:
            servable.close()
            raise
        return servable

    def _apply(self, config: Any, noun: str) -> None:
        with self._reloading:
            models = checked_models(config)
            new = [name for name in models if name not in self._models]
            self._models = models
            self.store.set_models(models)
            self.store.wait_until_available(new, noun)
            check_logging(models)
            self.store.set_labels(checked_labels(models))

    def _reload_by_request(self, request: Any, timeout: float | None) -> Any:
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        self._apply(request.config, "model")
        return model_management_pb2.ReloadConfigResponse()

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
