"""A request, whatever door it came through: find its version, hold it, let the right function answer."""

from typing import Any

from serving.config import ServerConfig
from serving.errors import invalid_argument
from serving.examples import run_classify, run_multi_inference, run_regress
from serving.metadata import check_metadata_fields, model_metadata, model_status
from serving.predict import run_predict
from serving.states import StateBoard
from serving.store import Lease, ModelStore


class Dispatcher:
    """The inference and metadata calls of one server.

    Every method takes a request proto (and the seconds left for it, None for no limit), returns the response proto,
    and raises `ServingError`.
    """

    def __init__(self, config: ServerConfig, store: ModelStore, board: StateBoard) -> None:
        self._store = store
        self._board = board
        self._as_content = config.enable_serialization_as_tensor_content
        self._check_method = config.enable_signature_method_name_check

    def predict(self, request: Any, timeout: float | None) -> Any:
        """PredictionService.Predict."""
        with self.lease(_model_spec(request)) as servable:
            return run_predict(servable, request, timeout, as_content=self._as_content, check_method=self._check_method)

    def classify(self, request: Any, timeout: float | None) -> Any:
        """PredictionService.Classify."""
        with self.lease(_model_spec(request)) as servable:
            return run_classify(servable, request, timeout, check_method=self._check_method)

    def regress(self, request: Any, timeout: float | None) -> Any:
        """PredictionService.Regress."""
        with self.lease(_model_spec(request)) as servable:
            return run_regress(servable, request, timeout, check_method=self._check_method)

    def multi_inference(self, request: Any, timeout: float | None) -> Any:
        """PredictionService.MultiInference."""
        if not request.tasks:
            raise invalid_argument("MultiInferenceRequest must have at least one task")
        with self.lease(request.tasks[0].model_spec) as servable:
            return run_multi_inference(servable, request, timeout, check_method=self._check_method)

    def model_metadata(self, request: Any, timeout: float | None) -> Any:
        """PredictionService.GetModelMetadata."""
        spec = _model_spec(request)
        check_metadata_fields(request)
        with self.lease(spec) as servable:
            return model_metadata(servable, request)

    def model_status(self, request: Any, timeout: float | None) -> Any:
        """ModelService.GetModelStatus."""
        return model_status(self._board, request)

    def lease(self, spec: Any) -> Lease:
        """Holds the version a ModelSpec names."""
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version":
            return self._store.lease(spec.name, version=spec.version.value)
        if choice == "version_label" and spec.version_label:
            return self._store.lease(spec.name, label=spec.version_label)
        return self._store.lease(spec.name)


def _model_spec(request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    return request.model_spec
