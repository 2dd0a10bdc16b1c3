"""Finds the versions below a model's base path and applies the model's version policy."""

import logging
import re
from pathlib import Path
from typing import Any

from features.disk.object_store import is_url
from features.errors import RecstackError
from serving.config import ServerConfig
from serving.errors import ServingError, not_found
from serving.models.remote import RemoteBasePaths

_NUMBER = re.compile(r"[+-]?[0-9]+")
_INT64 = range(-(2**63), 2**63)

logger = logging.getLogger(__name__)


def list_versions(base_path: str) -> dict[int, str]:
    """Directories by version number: every child of the base path whose name is a whole number.

    Nothing else is checked, so a writer must rename a complete version into place.

    Raises:
        ServingError: The base path does not exist or cannot be read.
    """
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

    def __init__(self, config: ServerConfig) -> None:
        self._remote = RemoteBasePaths(config, choose_versions)
        self._reported: dict[str, str] = {}

    def look(self, models: dict[str, Any]) -> dict[str, dict[int, str]]:
        """Aspired versions by model; a model whose base path cannot be read is omitted, and nothing changes for it.

        Args:
            models: `ModelConfig` by name.
        """
        self._remote.keep([(name, model.base_path) for name, model in models.items()])
        found: dict[str, dict[int, str]] = {}
        for name, model in models.items():
            try:
                versions = self._versions(name, model)
            except ServingError as error:
                self._report(name, f"{error.message} (model {name!r}; polling goes on)")
                continue
            if versions is None:
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

    def stop(self) -> None:
        """Ends the threads that look into object stores."""
        self._remote.keep([])

    def _versions(self, name: str, model: Any) -> dict[int, str] | None:
        """Directories by version number; None before the first look into an object store is done."""
        if not is_url(model.base_path):
            return list_versions(model.base_path)
        try:
            local = self._remote.local(name, model.base_path, model.model_version_policy)
        except RecstackError as error:
            raise not_found(str(error)) from None
        return None if local is None else list_versions(local)

    def _report(self, name: str, message: str) -> None:
        if self._reported.get(name) != message:
            logger.error("%s", message)
        self._reported[name] = message
