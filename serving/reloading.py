"""The model configuration: applied at the start, by reload requests and when its file changes."""

import logging
import threading
from typing import Any

from tensorflow_serving.apis import model_management_pb2

from features.disk.object_store import read_file
from serving.api.call import Call
from serving.config import ServerConfig
from serving.errors import Code, ServingError, invalid_argument
from serving.metrics import Metrics
from serving.models.model_config import (
    check_logging,
    checked_models,
    configured_models,
    version_labels,
    with_versions_of,
)
from serving.models.store import ModelStore

logger = logging.getLogger(__name__)


class ConfigReloader:
    """Applies model configurations to the store, one at a time."""

    def __init__(self, config: ServerConfig, store: ModelStore, metrics: Metrics) -> None:
        self._config = config
        self._store = store
        self._metrics = metrics
        self._models: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Applies the configuration of the command line, then polls its file if the flags say so.

        Raises:
            ServingError: The configuration is invalid, or a model did not become available.
        """
        text = self._file_content()
        self._apply(configured_models(self._config), "servable")
        if self._config.model_config_file and self._config.model_config_file_poll_wait_seconds > 0:
            threading.Thread(target=self._poll, args=(text,), name="config-poll", daemon=True).start()

    def stop(self) -> None:
        """Ends the polling."""
        self._stopped.set()

    def reload(self, request: Any, call: Call) -> Any:
        """ModelService.HandleReloadConfigRequest.

        Raises:
            ServingError: The configuration is invalid, a model did not become available, or there are several workers.
        """
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        if self._config.workers > 1:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                "With --workers a request reaches only one process: change --model_config_file and set "
                "--model_config_file_poll_wait_seconds",
            )
        before = {path: self._total(path) for path in request.metric_names}
        self._apply(request.config, "model", call.timeout)
        response = model_management_pb2.ReloadConfigResponse()
        for path, total in before.items():
            response.metric.add(name=path, int64_value_increase=int(self._total(path) - total))
        return response

    def _total(self, path: str) -> float:
        return sum(self._metrics.totals(path).values())

    def _apply(self, config: Any, noun: str, timeout: float | None = None) -> None:
        with self._lock:
            models = checked_models(config, self._models)
            # As in the real server, labels come first: they may name only versions that are available already.
            self._store.labels.replace(version_labels(models))
            new = [name for name in models if name not in self._models]
            self._models = models
            self._store.set_models(models)
            self._store.wait_until_available(new, noun, timeout)
            check_logging(models)

    def _poll(self, applied: bytes) -> None:
        waiting = b""
        while not self._stopped.wait(self._config.model_config_file_poll_wait_seconds):
            text = self._file_content()
            if text == applied:
                continue
            try:
                config = configured_models(self._config)
                if self._loads_before_labels(config):
                    if text != waiting:
                        logger.info("%s: labels move once their versions are loaded", self._config.model_config_file)
                    waiting = text
                    continue
                self._apply(config, "model")
            except ServingError as error:
                logger.error("%s: not applied, serving goes on: %s", self._config.model_config_file, error.message)
            except Exception:  # a store's library may raise anything; the loop must go on
                logger.exception("%s: not applied yet, serving goes on", self._config.model_config_file)
                continue
            applied = text

    def _loads_before_labels(self, config: Any) -> bool:
        """Whether labels would move to versions that are not loaded yet; these are then loaded beside the present ones.

        So one file can be followed without a failed request. Requests to reload take the two steps themselves, as with
        the real server.
        """
        with self._lock:
            models = checked_models(config, self._models)
            if models.keys() != self._models.keys() or not self._store.labels.unavailable(version_labels(models)):
                return False
            self._store.set_models(with_versions_of(models, self._models))
            return True

    def _file_content(self) -> bytes:
        # A file that cannot be read counts as empty here: `configured_models` reports why.
        try:
            return read_file(self._config.model_config_file)
        except Exception:  # a store's library may raise anything; the loop must go on
            return b""
