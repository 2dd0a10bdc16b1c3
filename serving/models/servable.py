"""A loaded version of a model: its session and its signatures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from features.native_log import silence_native_notices
from features.protocol.tensor_proto import decode
from serving.errors import Code, ServingError, from_exception, not_found
from serving.models.batching import BatchingOptions, BatchQueue, BatchScheduler, Run
from serving.models.session import Arrays, GraphSession

DEFAULT_SIGNATURE = "serving_default"
PREDICT_METHOD = "tensorflow/serving/predict"
_SCANN_PREFIX = b"Scann>"


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


def load(name: str, version: int, path: str, tags: list[str], options: config_pb2.ConfigProto) -> Servable:
    """Loads a version directory.

    Args:
        name: The model's name.
        version: The version number.
        path: The version directory.
        tags: Tags of the MetaGraph.
        options: Options of the session. The single-threaded executor is replaced by the default one if it refuses the
            graph, or if the graph has unbounded loops.

    Raises:
        ServingError: The directory holds no SavedModel that can be run; the message is TensorFlow Serving's.
    """
    _check_files(path)
    plain = config_pb2.ConfigProto()
    plain.CopyFrom(options)
    plain.experimental.executor_type = ""
    plain.inter_op_parallelism_threads = max(0, plain.inter_op_parallelism_threads)
    try:
        servable = _load(name, version, path, tags, options)
    except ServingError:
        if options == plain:
            raise
        return _load(name, version, path, tags, plain)
    if options == plain or not servable.may_run_forever:
        return servable
    # With a deadline, a loop's body needs a thread of the pool that calls like it occupy: they would wait forever.
    servable.close()
    return _load(name, version, path, tags, plain)


def _load(name: str, version: int, path: str, tags: list[str], options: config_pb2.ConfigProto) -> Servable:
    try:
        session = GraphSession(options, lambda opened: tf.compat.v1.saved_model.loader.load(opened, tags, path))
    except BaseException as error:
        raise _load_error(error, path, tags) from error
    servable = Servable(name, version, session, session.meta_graph.signature_def)
    try:
        for key, signature in servable.signatures.items():
            if signature.feeds and not key.startswith("__"):
                session.prepare(signature.feeds, signature.fetches)
    except BaseException as error:
        session.close()
        raise _load_error(error, path, tags) from error
    return servable


def _check_files(path: str) -> None:
    binary, text = Path(path) / "saved_model.pb", Path(path) / "saved_model.pbtxt"
    file = next((each for each in (binary, text) if each.is_file()), None)
    if file is None:
        raise not_found(f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {path}")
    try:
        uses_scann = _SCANN_PREFIX in file.read_bytes()
    except OSError as error:
        raise ServingError(Code.PERMISSION_DENIED, f"{file}: {error.strerror}") from None
    if uses_scann:
        register_scann_ops()


def register_scann_ops() -> None:
    """Registers ScaNN's operations; if scann is not installed, the load fails and names the missing operation."""
    try:
        import scann  # noqa: F401 -- importing it registers the operations
    except ImportError:
        return
    silence_native_notices()


def _load_error(error: BaseException, path: str, tags: list[str]) -> ServingError:
    text = str(error)
    if isinstance(error, RuntimeError) and "could not be found in SavedModel" in text:
        wanted = " ".join(tags)
        return not_found(
            f"Could not find meta graph def matching supplied tags: {{ {wanted} }}. To inspect available tag-sets in "
            "the SavedModel, please use the SavedModel CLI: `saved_model_cli`"
        )
    if isinstance(error, OSError):
        return ServingError(Code.DATA_LOSS, f"Can't parse {Path(path) / 'saved_model.pb'} as binary proto")
    if isinstance(error, ValueError) and "not a valid checkpoint" in text:
        return not_found(f"The variables of {path} are missing or incomplete: rename only finished versions into place")
    return from_exception(error)
