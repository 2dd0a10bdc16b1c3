"""Loads SavedModels."""

from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from features.native_log import silence_native_notices
from serving.errors import Code, ServingError, from_exception, not_found
from serving.models.servable import Servable
from serving.models.session import GraphSession

_SCANN_PREFIX = b"Scann>"


def load_saved_model(name: str, version: int, path: str, tags: list[str], options: config_pb2.ConfigProto) -> Servable:
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
