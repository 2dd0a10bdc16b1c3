"""One servable to one published version: graph, warm-up requests, manifest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from features.disk.layout import ExtraLayout, ModelLayout, ModelName
from features.errors import RecstackError
from trainer.export.publish import publication, remove_old_versions
from trainer.export.requests import Request, write_warmup


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
    describe: Callable[[ExtraLayout], None],
) -> int:
    """Saves a servable and publishes it under the next version number.

    Args:
        layout: the model's base path.
        name: the model.
        signatures: by name, made by `make_signature`.
        module: holds every variable and asset that the signatures use.
        requests: by signature, what to write as warm-up requests.
        describe: called last, when everything else is on disk, to write the manifest and what goes with it.

    Returns:
        The version.

    Raises:
        InputError: the base path cannot be written.
        RecstackError: the disk is full, or fails; the versions that were there are as they were.
    """
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    try:
        with publication(layout) as new:
            tf.saved_model.save(module, str(new.staging), signatures=dict(signatures), options=options)
            extra = ExtraLayout(new.staging / "assets.extra")
            extra.root.mkdir()
            write_warmup(extra.warmup_requests, name, requests)
            describe(extra)
    except (OSError, tf.errors.OpError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.message
        raise RecstackError(
            f"{layout.base}: no new version could be written ({reason}); the published versions are as they were"
        ) from error
    return new.version


def prune(layout: ModelLayout, keep: int, say: Callable[[str], None]) -> None:
    """Removes the versions that the policy does not keep."""
    removed = remove_old_versions(layout, keep)
    if removed:
        say(f"{layout.base.name}: removed version {', '.join(map(str, removed))} (keep_versions = {keep})")


def directory_bytes(directory: Path) -> int:
    """Size of all files below a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
