"""Rollback: publishes an earlier version again as the newest one."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from features.disk.exported import ModelLayout
from features.disk.files import link_or_copy
from features.disk.manifest import read_manifest
from features.errors import InputError
from trainer.export.publish import publish, staging

_ROLLBACK = "rollback"


def former_version(layout: ModelLayout, wanted: int | None = None) -> int:
    """The version to roll back to: `wanted`, or by default the one before the newest.

    Raises:
        InputError: There is no such version, or it is the newest.
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
    """Publishes an earlier version's files under the next version number, so that servers load them as the newest.

    Files are hard-linked where the file system allows it. `recstack export` then publishes nothing until its inputs
    differ from those of the version that was rolled back.

    Args:
        layout: The model's base path.
        former: The version to publish again, from `former_version`.

    Returns:
        The new version number.
    """
    bad = layout.versions()[-1]
    refused = read_manifest(layout.manifest(bad), "saved_model").inputs
    with staging(layout) as staged:
        shutil.copytree(layout.version(former), staged.directory, dirs_exist_ok=True, copy_function=link_or_copy)
        manifest = read_manifest(staged.extra.manifest, "saved_model")
        rollback = {"of": former, "instead_of": bad, "refused_inputs": dict(refused)}
        replace(manifest, config={**manifest.config, _ROLLBACK: rollback}).write(staged.extra.manifest)
    return publish(staged)


def is_rollback(manifest: Path) -> bool:
    """Whether the version with this manifest was published by a rollback."""
    return bool(_rollback(manifest))


def rolled_back_to(manifest: Path) -> int | None:
    """The former version that the version with this manifest is again; None if no rollback published it."""
    former = _rollback(manifest).get("of")
    return int(former) if former is not None else None


def was_rolled_back(manifest: Path, inputs: Mapping[str, str]) -> bool:
    """Whether the version with this manifest replaced, by a rollback, one that was built from these inputs."""
    return bool(_rollback(manifest).get("refused_inputs") == dict(inputs))


def _rollback(manifest: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = read_manifest(manifest, "saved_model").config.get(_ROLLBACK, {})
    except InputError:
        return {}
    return found
