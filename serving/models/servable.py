"""A loaded version of a model: its session and its signatures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray
from tensorflow.core.protobuf import meta_graph_pb2

from features.protocol.tensor_proto import decode
from serving.models.batching.options import BatchingOptions
from serving.models.batching.queues import BatchQueue, BatchScheduler
from serving.models.batching.runs import Run
from serving.models.session import Arrays

DEFAULT_SIGNATURE = "serving_default"
PREDICT_METHOD = "tensorflow/serving/predict"


@dataclass(frozen=True)
class Signature:
    """A SignatureDef and what is looked up in it for every call."""

    definition: Any
    """The `SignatureDef`."""
    inputs: dict[str, str]
    """Input alias to tensor name, sorted by alias."""
    outputs: dict[str, str]
    """Output alias to tensor name, sorted by alias."""
    defaults: dict[str, NDArray[Any]]
    """Input alias to default value, for inputs that a request may leave out."""
    feeds: tuple[str, ...] = field(init=False)
    fetches: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "feeds", tuple(self.inputs.values()))
        object.__setattr__(self, "fetches", tuple(self.outputs.values()))


def _signature(definition: meta_graph_pb2.SignatureDef) -> Signature:
    return Signature(
        definition,
        {alias: definition.inputs[alias].name for alias in sorted(definition.inputs)},
        {alias: definition.outputs[alias].name for alias in sorted(definition.outputs)},
        {alias: decode(proto) for alias, proto in definition.defaults.items()},
    )


class Runnable(Protocol):
    """The part of a servable that the inference functions use."""

    name: str
    version: int
    signatures: dict[str, Signature]

    def run(self, feeds: tuple[str, ...], arrays: Arrays, fetches: tuple[str, ...], timeout: float | None) -> Arrays:
        """See `Servable.run`."""
        ...


class Session(Protocol):
    """What runs a model by tensor names."""

    @property
    def may_run_forever(self) -> bool:
        """Whether a prepared call may run forever."""
        ...

    def prepare(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Run:
        """The call that feeds and fetches these tensors."""
        ...

    def close(self) -> None:
        """Frees the model's memory; no call may be running."""
        ...


class Servable:
    """A loaded version. `run` is thread-safe; `close` may be called once, when no run is in progress."""

    def __init__(self, name: str, version: int, session: Session, definitions: Mapping[str, Any]) -> None:
        self.name = name
        self.version = version
        self.signatures = {key: _signature(value) for key, value in definitions.items()}
        self._session = session
        self._scheduler: BatchScheduler | None = None
        self._queues: dict[tuple[tuple[str, ...], tuple[str, ...]], BatchQueue] = {}

    def batch(self, scheduler: BatchScheduler, options: BatchingOptions) -> None:
        """Batches calls that fetch all outputs of a signature; a call with an output filter runs on its own."""
        self._scheduler = scheduler
        for signature in self.signatures.values():
            key = (signature.feeds, signature.fetches)
            if signature.feeds and key not in self._queues:
                self._queues[key] = scheduler.queue(options, self._session.prepare(*key))

    def run(self, feeds: tuple[str, ...], arrays: Arrays, fetches: tuple[str, ...], timeout: float | None) -> Arrays:
        """Runs the graph.

        Args:
            feeds: Names of the tensors to feed.
            arrays: One array for each feed.
            fetches: Names of the tensors to fetch.
            timeout: Seconds that the run may take; None for no limit.

        Returns:
            One array for each fetch.

        Raises:
            ServingError: The run failed.
        """
        call = self._queues.get((feeds, fetches)) if self._queues else None
        return (call or self._session.prepare(feeds, fetches))(arrays, timeout)

    @property
    def may_run_forever(self) -> bool:
        """Whether a run of some signature may never end."""
        return self._session.may_run_forever

    def close(self) -> None:
        """Frees the version's memory."""
        if self._scheduler is not None:
            for queue in self._queues.values():
                self._scheduler.remove(queue)
        self._queues.clear()
        self._session.close()
