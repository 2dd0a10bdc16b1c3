"""A request, whatever door it came through: find its version, hold it, let the right function answer, take note."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from serving.api.call import Call, Finished, Observer
from serving.api.classify_regress import run_classify, run_multi_inference, run_regress
from serving.api.metadata import check_metadata_fields, model_metadata, model_status
from serving.api.predict import run_predict
from serving.config import ServerConfig
from serving.errors import Code, from_exception, invalid_argument
from serving.metrics import Metrics
from serving.models.servable import Servable
from serving.models.session import Arrays
from serving.models.states import StateBoard
from serving.models.store import Lease, ModelStore

_MICROSECONDS = 1e6
_Answer = Callable[["_Timed"], Any]


class _Timed:
    """A servable that remembers how long the graph ran."""

    __slots__ = ("_servable", "name", "seconds", "signatures", "version")

    def __init__(self, servable: Servable) -> None:
        self._servable = servable
        self.name = servable.name
        self.version = servable.version
        self.signatures = servable.signatures
        self.seconds = 0.0

    def run(self, feeds: tuple[str, ...], arrays: Arrays, fetches: tuple[str, ...], timeout: float | None) -> Arrays:
        started = time.perf_counter()
        results = self._servable.run(feeds, arrays, fetches, timeout)
        self.seconds = time.perf_counter() - started
        return results


class Dispatcher:
    """The inference and metadata calls of one server.

    Every method takes a request proto and the call it belongs to, returns the response proto, and raises
    `ServingError`.
    """

    def __init__(
        self,
        config: ServerConfig,
        store: ModelStore,
        board: StateBoard,
        metrics: Metrics,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._store = store
        self._board = board
        self._metrics = metrics
        self._observers = tuple(observers)
        self._as_content = config.enable_serialization_as_tensor_content
        self._check_method = config.enable_signature_method_name_check

    def predict(self, request: Any, call: Call) -> Any:
        """PredictionService.Predict."""

        def answer(servable: _Timed) -> Any:
            return run_predict(
                servable, request, call.timeout, as_content=self._as_content, check_method=self._check_method
            )

        return self._infer("Predict", request, call, answer)

    def classify(self, request: Any, call: Call) -> Any:
        """PredictionService.Classify."""
        return self._infer(
            "Classify",
            request,
            call,
            lambda servable: run_classify(servable, request, call.timeout, check_method=self._check_method),
        )

    def regress(self, request: Any, call: Call) -> Any:
        """PredictionService.Regress."""
        return self._infer(
            "Regress",
            request,
            call,
            lambda servable: run_regress(servable, request, call.timeout, check_method=self._check_method),
        )

    def multi_inference(self, request: Any, call: Call) -> Any:
        """PredictionService.MultiInference."""

        def answer(servable: _Timed) -> Any:
            response = run_multi_inference(servable, request, call.timeout, check_method=self._check_method)
            examples = len(request.input.example_list.examples or request.input.example_list_with_context.examples)
            self._metrics.example_counts.add(servable.name, value=examples)
            self._metrics.example_count_total.add(servable.name, by=examples)
            return response

        return self._infer("MultiInference", request, call, answer)

    def _infer(self, api: str, request: Any, call: Call, answer: _Answer) -> Any:
        started = time.perf_counter()
        model, response, failure = "", None, None
        try:
            spec = _first_task(request) if api == "MultiInference" else _model_spec(request)
            model = spec.name
            with self.lease(spec) as held:
                servable = _Timed(held)
                response = answer(servable)
        except Exception as error:
            failure = from_exception(error)
        seconds = time.perf_counter() - started
        code = Code.OK if failure is None else failure.code
        if call.door == "GRPC":  # REST counts what does not get as far as this, too
            self._metrics.request_count.add(model, code.name)
        if failure is None:
            label = api if call.door == "GRPC" else api.lower()
            self._metrics.request_latency.add(model, label, call.door, value=seconds * _MICROSECONDS)
            graph_time = servable.seconds * _MICROSECONDS
            self._metrics.runtime_latency.add(model, api, "TF1", value=graph_time)
            self._metrics.graph_runs.add()
            self._metrics.graph_run_time.add(by=graph_time)
        if self._observers:
            message = "" if failure is None else failure.message
            finished = Finished(api, call, model, code, message, seconds, request, response)
            for observer in self._observers:
                observer(finished)
        if failure is not None:
            raise failure
        return response

    def model_metadata(self, request: Any, call: Call) -> Any:
        """PredictionService.GetModelMetadata."""
        spec = _model_spec(request)
        check_metadata_fields(request)
        with self.lease(spec) as servable:
            return model_metadata(servable, request)

    def model_status(self, request: Any, call: Call) -> Any:
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


def _first_task(request: Any) -> Any:
    if not request.tasks:
        raise invalid_argument("MultiInferenceRequest must have at least one task")
    return request.tasks[0].model_spec
