"""Rollback: publishes an earlier version again as the newest one."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from features.disk.exported import ModelLayout
from features.disk.files import link_or_copy
from features.disk.manifest import read_manifest
from features.errors import InputError
from trainer.export.publish import publish, staging

_ROLLBACK = "rollback"


def former_version(layout: ModelLayout, wanted: int | None = None) -> int:
    """The version to roll back to: `wanted`, or by default the last one before the newest that is another good model.

    Raises:
        InputError: There is no such version, or it is the newest.
    """
    versions = layout.versions()
    known = ", ".join(map(str, versions)) or "none"
    former = wanted if wanted is not None else next(_good_ones(layout, versions), None)
    if former is None:
        if len(versions) <= 1:
            raise InputError(f"model {layout.base}: no earlier version to go back to; published: {known}")
        raise InputError(
            f"model {layout.base}: a version before the newest that differs from it and was not rolled back expected, "
            f"{known} found; --to names any of them"
        )
    if former not in versions[:-1]:
        raise InputError(f"model {layout.base}: version {former} expected, {known} found")
    return former


def _good_ones(layout: ModelLayout, versions: Sequence[int]) -> Iterator[int]:
    """Versions before the newest, the last first, without what was rolled back later and what the newest is again."""
    refused: list[Mapping[str, str]] = []
    for later, version in pairwise(reversed(versions)):
        if later == versions[-1]:
            refused.append(_inputs(layout.manifest(later)))
        refused.append(_rollback(layout.manifest(later)).get("refused_inputs", {}))
        inputs = _inputs(layout.manifest(version))
        if not inputs or inputs not in refused:
            yield version


def _inputs(manifest: Path) -> Mapping[str, str]:
    """What a version was made from; nothing if something else has published it."""
    try:
        return dict(read_manifest(manifest, "saved_model").inputs)
    except InputError:
        return {}


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
