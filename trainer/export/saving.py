"""One servable to one published version: graph, warm-up requests, manifest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from features.layout import ModelLayout, ModelName
from features.manifest import Manifest
from trainer.export.publish import publication, remove_old_versions

Request = Mapping[str, "np.ndarray[Any, Any]"]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """One model's newest version."""

    model: ModelName
    version: int
    directory: Path
    """The version's directory."""
    num_bytes: int
    """Size of everything below it."""
    seconds: float
    """Time it took to make the version, from its manifest."""
    nothing_to_do: bool
    """Whether the version was there already, made from the same inputs."""


def save_version(
    layout: ModelLayout,
    name: ModelName,
    signatures: Mapping[str, Any],
    module: tf.Module,
    *,
    requests: Mapping[str, Sequence[Request]],
    manifest: Callable[[], Manifest],
) -> int:
    """Saves a servable and publishes it under the next version number.

    Args:
        layout: the model's base path.
        name: the model.
        signatures: by name, made by `make_signature`.
        module: holds every variable and asset that the signatures use.
        requests: by signature, what to write as warm-up requests.
        manifest: called last, when everything else is on disk.

    Returns:
        The version.

    Raises:
        InputError: the base path cannot be written.
    """
    with publication(layout) as new:
        options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
        tf.saved_model.save(module, str(new.staging), signatures=dict(signatures), options=options)
        extra = new.staging / "assets.extra"
        extra.mkdir()
        write_warmup(extra / layout.warmup_requests(0).name, name, requests)
        manifest().write(extra / layout.manifest(0).name)
    return new.version


def write_warmup(path: Path, model: str, requests: Mapping[str, Sequence[Request]]) -> None:
    """Writes PredictionLog records, which a server replays before the version answers."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, examples in requests.items():
            for request in examples:
                log = prediction_log_pb2.PredictionLog()
                log.predict_log.request.CopyFrom(predict_request(model, signature, request))
                writer.write(log.SerializeToString())


def predict_request(model: str, signature: str, request: Request) -> predict_pb2.PredictRequest:
    """A PredictRequest with the given inputs."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    for name, value in request.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return message


def prune(layout: ModelLayout, keep: int, say: Callable[[str], None]) -> None:
    """Removes the versions that the policy does not keep."""
    removed = remove_old_versions(layout, keep)
    if removed:
        say(f"{layout.base.name}: removed version {', '.join(map(str, removed))} (keep_versions = {keep})")


def directory_bytes(directory: Path) -> int:
    """Size of all files below a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
