"""Builds one version of a model: graph, warm-up requests, description."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from features.disk.exported import ModelLayout
from features.disk.layout import ModelName
from features.errors import RecstackError
from trainer.export.publish import StagedVersion, publish, remove_old_versions, staging
from trainer.export.requests import Request, write_warmup


@dataclass(frozen=True, kw_only=True)
class Exported:
    """One model's newest version."""

    model: ModelName
    version: int
    directory: Path
    """The version's directory."""
    num_bytes: int
    """Total size of its files."""
    seconds: float
    """Time it took to build the version, from its manifest."""
    nothing_to_do: bool
    """Whether the version already existed, built from the same inputs."""


def build_version(
    layout: ModelLayout,
    name: ModelName,
    signatures: Mapping[str, Any],
    module: tf.Module,
    *,
    requests: Mapping[str, Sequence[Request]],
    describe: Callable[[StagedVersion], None],
) -> StagedVersion:
    """Saves a servable as a complete version that is not published yet.

    Args:
        layout: The model's base path.
        name: The model.
        signatures: Signatures by name, made by `make_signature`.
        module: Tracks every variable and asset that the signatures use.
        requests: Warm-up requests by signature.
        describe: Writes the manifest and the other descriptive files; called once everything else is on disk.

    Raises:
        InputError: The base path cannot be written.
        RecstackError: The disk is full or fails; the published versions are unchanged.
    """
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    with _disk_errors(layout), staging(layout) as staged:
        tf.saved_model.save(module, str(staged.directory), signatures=dict(signatures), options=options)
        staged.extra.root.mkdir()
        write_warmup(staged.extra.warmup_requests, name, requests)
        describe(staged)
    return staged


def publish_version(staged: StagedVersion) -> int:
    """Publishes a staged version under the next version number, which it returns.

    Raises:
        RecstackError: The disk fails; the published versions are unchanged.
    """
    with _disk_errors(staged.model):
        return publish(staged)


def saved_outputs(directory: Path, names: Iterable[str]) -> dict[str, dict[str, tf.TensorSpec]]:
    """Reads the outputs of each signature from a saved version, which is far cheaper than tracing them once more.

    Args:
        directory: The version's directory.
        names: The signatures' names.

    Returns:
        By name of the signature: the outputs' types and shapes by name, sorted.
    """
    saved = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    signatures = saved.meta_graphs[0].signature_def
    return {
        name: {
            key: tf.TensorSpec(info.tensor_shape, info.dtype) for key, info in sorted(signatures[name].outputs.items())
        }
        for name in names
    }


@contextlib.contextmanager
def _disk_errors(layout: ModelLayout) -> Iterator[None]:
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.message
        raise RecstackError(
            f"{layout.base}: no new version could be written ({reason}); the published versions are unchanged"
        ) from error


def prune(layout: ModelLayout, keep: int, progress: Callable[[str], None], spared: Collection[int] = ()) -> None:
    """Removes all but the newest `keep` versions and those that are spared; reports the removed ones to `progress`."""
    removed = remove_old_versions(layout, keep, spared)
    if removed:
        progress(f"{layout.base.name}: removed version {', '.join(map(str, removed))} (keep_versions = {keep})")


def directory_bytes(directory: Path) -> int:
    """Total size of the files below a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
