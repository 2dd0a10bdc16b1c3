"""Which versions a model's base path holds, and which of them its version policy wants."""

import logging
import re
from pathlib import Path
from typing import Any

from serving.errors import ServingError, not_found

_NUMBER = re.compile(r"[+-]?[0-9]+")
_INT64 = range(-(2**63), 2**63)

logger = logging.getLogger(__name__)


def list_versions(base_path: str) -> dict[int, str]:
    """Version number to directory for every child of the base path whose name is a whole number.

    Nothing else is checked: a writer must rename a finished version into place.

    Raises:
        ServingError: the base path is not there or cannot be read.
    """
    if "://" in base_path:
        raise not_found(f"Could not find base path {base_path}: only local directories are read; mount or copy it")
    try:
        names = sorted(entry.name for entry in Path(base_path).iterdir())
    except OSError as error:
        raise not_found(f"Could not find base path {base_path}: {error.strerror}") from None
    versions: dict[int, str] = {}
    for name in names:
        if not _NUMBER.fullmatch(name) or int(name) not in _INT64:
            continue
        if int(name) in versions:
            logger.warning("%s: %s and %s name one version; %s is taken", base_path, versions[int(name)], name, name)
        versions[int(name)] = str(Path(base_path) / name)
    return versions


def choose_versions(versions: dict[int, str], policy: Any) -> dict[int, str]:
    """The versions a `ServableVersionPolicy` wants: the latest ones (one, by default), all, or specific ones."""
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return versions
    if kind == "specific":
        return {number: path for number, path in versions.items() if number in policy.specific.versions}
    latest = sorted(versions)[-max(policy.latest.num_versions, 1) :]
    return {number: versions[number] for number in latest}


class Poller:
    """Looks at the models' base paths; a failure is logged once, not at every look."""

    def __init__(self) -> None:
        self._complained: dict[str, str] = {}

    def look(self, models: dict[str, Any]) -> dict[str, dict[int, str]]:
        """Model name to wanted versions; a model whose base path cannot be read is left out: nothing changes for it.

        Args:
            models: name to `ModelConfig`.
        """
        found: dict[str, dict[int, str]] = {}
        for name, model in models.items():
            try:
                versions = list_versions(model.base_path)
            except ServingError as error:
                self._complain(name, f"{error.message} (model {name!r}; still looking)")
                continue
            found[name] = choose_versions(versions, model.model_version_policy)
            absent = sorted(set(model.model_version_policy.specific.versions) - versions.keys())
            if not found[name]:
                self._complain(name, f"No versions of servable {name} found under base path {model.base_path}")
            elif absent:
                numbers = ", ".join(map(str, absent))
                self._complain(name, f"{name}: the config asks for versions that are not there: {numbers}")
            else:
                self._complained.pop(name, None)
        return found

    def _complain(self, name: str, message: str) -> None:
        if self._complained.get(name) != message:
            logger.error("%s", message)
        self._complained[name] = message
