"""A former version made the newest again."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from features.disk.layout import ExtraLayout, ModelLayout
from features.disk.manifest import read_manifest
from features.errors import InputError
from trainer.export.publish import link_or_copy, publication

_ROLLBACK = "rollback"


def former_version(layout: ModelLayout, wanted: int | None = None) -> int:
    """The version to go back to: the wanted one, or the one before the newest.

    Raises:
        InputError: there is no such version, or it is the newest.
    """
    versions = layout.versions()
    former = wanted if wanted is not None else (versions[-2] if len(versions) > 1 else None)
    if former is None or former not in versions[:-1]:
        known = ", ".join(map(str, versions)) or "none"
        raise InputError(
            f"model {layout.base}: version {'before the newest' if former is None else former} expected, {known} found"
        )
    return former


def roll_back(layout: ModelLayout, former: int) -> int:
    """Publishes a former version's files under the next number, so that servers take it for the newest.

    Files are linked where the disk allows it, so that nothing is copied. `recstack export` then leaves the model alone
    until the inputs differ from those of the version that was rolled back.

    Args:
        layout: the model's base path.
        former: from `former_version`.

    Returns:
        The new number.
    """
    bad = layout.versions()[-1]
    refused = read_manifest(layout.manifest(bad), "saved_model").inputs
    with publication(layout) as new:
        shutil.copytree(layout.version(former), new.staging, dirs_exist_ok=True, copy_function=link_or_copy)
        path = ExtraLayout(new.staging / "assets.extra").manifest
        manifest = read_manifest(path, "saved_model")
        rollback = {"of": former, "instead_of": bad, "refused_inputs": dict(refused)}
        replace(manifest, config={**manifest.config, _ROLLBACK: rollback}).write(path)
    return new.version


def is_rollback(manifest: Path) -> bool:
    """Whether the version at `manifest` is a former one that was published again."""
    return bool(_rollback(manifest))


def was_rolled_back(manifest: Path, inputs: Mapping[str, str]) -> bool:
    """Whether the version at `manifest` was put in the place of one made from these inputs."""
    return bool(_rollback(manifest).get("refused_inputs") == dict(inputs))


def _rollback(manifest: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = read_manifest(manifest, "saved_model").config.get(_ROLLBACK, {})
    except InputError:
        return {}
    return found
