"""The RPCs as both entrypoints call them: find the version, hold it, answer, count and notify observers."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from tensorflow_serving.apis import model_pb2

from serving.api.call import Call, FinishedCall, Observer, Rpc
from serving.api.classify import classify
from serving.api.examples import num_examples
from serving.api.metadata import check_metadata_fields, model_metadata
from serving.api.multi_inference import multi_inference
from serving.api.predict import InferenceOptions, predict
from serving.api.regress import regress
from serving.api.status import model_status
from serving.config import ServerConfig
from serving.errors import Code, ServingError, from_exception, invalid_argument
from serving.metrics import Metrics
from serving.models.servable import Runnable, Servable
from serving.models.session import Arrays
from serving.models.states import StateBoard
from serving.models.store import Lease, ModelStore

Inference = Callable[[Runnable, Any, InferenceOptions], Any]

INFERENCE: Mapping[str, Inference] = {
    "Predict": predict,
    "Classify": classify,
    "Regress": regress,
    "MultiInference": multi_inference,
}
"""The inference RPCs of PredictionService by name."""

_MICROSECONDS = 1e6


class _TimedServable:
    """Measures how long the graph of a servable runs."""

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
        self.seconds += time.perf_counter() - started
        return results


class Dispatcher:
    """The inference and metadata RPCs of one server."""

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

    def rpcs(self) -> dict[str, Rpc]:
        """The RPCs by name."""
        inference: dict[str, Rpc] = {name: partial(self._infer, name) for name in INFERENCE}
        return inference | {"GetModelMetadata": self._model_metadata, "GetModelStatus": self._model_status}

    def _infer(self, name: str, request: Any, call: Call) -> Any:
        started = time.perf_counter()
        model, version, response, failure, graph_seconds = "", None, None, None, 0.0
        try:
            spec = _first_task(request) if name == "MultiInference" else _model_spec(request)
            model = spec.name
            options = InferenceOptions(
                timeout=call.timeout, as_content=self._as_content, check_method=self._check_method
            )
            with self.lease(spec) as held:
                version = held.version
                servable = _TimedServable(held)
                response = INFERENCE[name](servable, request, options)
            graph_seconds = servable.seconds
        except Exception as error:
            failure = from_exception(error)
        seconds = time.perf_counter() - started
        self._count(name, call, model, failure, seconds, graph_seconds)
        if version is not None:
            self._count_version(model, str(version), failure, seconds)
        if name == "MultiInference" and failure is None:
            self._count_examples(model, num_examples(request.input))
        if self._observers:
            code, message = (Code.OK, "") if failure is None else (failure.code, failure.message)
            finished = FinishedCall(name, call, model, code, message, seconds, request, response)
            for observer in self._observers:
                observer(finished)
        if failure is not None:
            raise failure
        return response

    def _count(
        self, name: str, call: Call, model: str, failure: ServingError | None, seconds: float, graph_seconds: float
    ) -> None:
        metrics = self._metrics
        if call.entrypoint == "GRPC":  # REST also counts requests that never get here
            metrics.request_count.add(model, (Code.OK if failure is None else failure.code).name)
        if failure is not None:
            return
        label = name if call.entrypoint == "GRPC" else name.lower()
        metrics.request_latency.add(model, label, call.entrypoint, value=seconds * _MICROSECONDS)
        metrics.runtime_latency.add(model, name, "TF1", value=graph_seconds * _MICROSECONDS)
        metrics.graph_runs.add()
        metrics.graph_run_time.add(by=graph_seconds * _MICROSECONDS)

    def _count_version(self, model: str, version: str, failure: ServingError | None, seconds: float) -> None:
        code = Code.OK if failure is None else failure.code
        self._metrics.version_request_count.add(model, version, code.name)
        if failure is None:
            self._metrics.version_request_latency.add(model, version, value=seconds * _MICROSECONDS)

    @contextmanager
    def counting_refusals(self, spec: Any) -> Iterator[None]:
        """Counts an error of the block for the version that a ModelSpec names: the call does not get to its model."""
        try:
            yield
        except Exception as error:
            with suppress(ServingError), self.lease(spec) as servable:
                self._count_version(spec.name, str(servable.version), from_exception(error), 0.0)
            raise

    def _count_examples(self, model: str, count: int) -> None:
        # The real server counts the examples of MultiInference only.
        self._metrics.example_counts.add(model, value=count)
        self._metrics.example_count_total.add(model, by=count)

    def _model_metadata(self, request: Any, call: Call) -> Any:
        spec = _model_spec(request)
        check_metadata_fields(request)
        with self.lease(spec) as servable:
            return model_metadata(servable, request)

    def _model_status(self, request: Any, call: Call) -> Any:
        return model_status(self._board, request)

    def lease(self, spec: Any) -> Lease:
        """Holds the version that a ModelSpec names.

        Raises:
            ServingError: The spec names no model, or there is no such model, version or label.
        """
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version":
            return self._store.lease(spec.name, version=spec.version.value)
        if choice == "version_label":
            return self._store.lease(spec.name, label=spec.version_label)
        return self._store.lease(spec.name)


def _model_spec(request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    return request.model_spec


def _first_task(request: Any) -> Any:
    # Without tasks the real server, too, complains of the model that none of them names.
    return request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
