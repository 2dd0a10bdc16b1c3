"""Finds the versions below a model's base path and applies the model's version policy."""

import logging
import re
from pathlib import Path
from typing import Any

from serving.errors import ServingError, not_found

_NUMBER = re.compile(r"[+-]?[0-9]+")
_INT64 = range(-(2**63), 2**63)

logger = logging.getLogger(__name__)


def list_versions(base_path: str) -> dict[int, str]:
    """Directories by version number: every child of the base path whose name is a whole number.

    Nothing else is checked, so a writer must rename a complete version into place.

    Raises:
        ServingError: The base path does not exist or cannot be read.
    """
    if "://" in base_path:
        raise not_found(f"Could not find base path {base_path}: only local directories are supported; mount or copy it")
    try:
        names = sorted(entry.name for entry in Path(base_path).iterdir())
    except OSError as error:
        raise not_found(f"Could not find base path {base_path}: {error.strerror}") from None
    versions: dict[int, str] = {}
    for name in names:
        if not _NUMBER.fullmatch(name) or int(name) not in _INT64:
            continue
        if int(name) in versions:
            logger.warning("%s: %s and %s are the same version; %s is used", base_path, versions[int(name)], name, name)
        versions[int(name)] = str(Path(base_path) / name)
    return versions


def choose_versions(versions: dict[int, str], policy: Any) -> dict[int, str]:
    """The versions that a `ServableVersionPolicy` selects: the latest (one by default), all, or specific ones."""
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return versions
    if kind == "specific":
        return {number: path for number, path in versions.items() if number in policy.specific.versions}
    latest = sorted(versions)[-max(policy.latest.num_versions, 1) :]
    return {number: versions[number] for number in latest}


class Poller:
    """Reads the models' base paths; a problem is logged once, not at every poll."""

    def __init__(self) -> None:
        self._reported: dict[str, str] = {}

    def look(self, models: dict[str, Any]) -> dict[str, dict[int, str]]:
        """Aspired versions by model; a model whose base path cannot be read is omitted, and nothing changes for it.

        Args:
            models: `ModelConfig` by name.
        """
        found: dict[str, dict[int, str]] = {}
        for name, model in models.items():
            try:
                versions = list_versions(model.base_path)
            except ServingError as error:
                self._report(name, f"{error.message} (model {name!r}; polling goes on)")
                continue
            found[name] = choose_versions(versions, model.model_version_policy)
            absent = sorted(set(model.model_version_policy.specific.versions) - versions.keys())
            if not found[name]:
                self._report(name, f"No versions of servable {name} found under base path {model.base_path}")
            elif absent:
                numbers = ", ".join(map(str, absent))
                self._report(name, f"{name}: the config names versions that do not exist: {numbers}")
            else:
                self._reported.pop(name, None)
        return found

    def _report(self, name: str, message: str) -> None:
        if self._reported.get(name) != message:
            logger.error("%s", message)
        self._reported[name] = message
