"""Which version of each model the label `stable` names; the label `canary` always names the newest."""

import json
from collections.abc import Mapping

from features.disk.files import write_text_atomically
from features.disk.layout import ModelName, Workdir
from features.errors import InputError


def stable_versions(workdir: Workdir) -> dict[str, int]:
    """The stable version by model; models that were never promoted are missing.

    Raises:
        InputError: the file is damaged.
    """
    path = workdir.stable_file
    try:
        found = json.loads(path.read_text("utf-8"))
        return {str(model): int(version) for model, version in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove it and run `recstack promote`") from error


def stable_version(workdir: Workdir, model: str) -> int | None:
    """The stable version of a model; None if it was never promoted, or if that version is gone.

    Raises:
        InputError: the file is damaged.
    """
    version = stable_versions(workdir).get(model)
    return version if version in workdir.model(model).versions() else None


def set_stable(workdir: Workdir, versions: Mapping[ModelName, int]) -> None:
    """Lets the label `stable` name these versions; other models keep theirs."""
    known = stable_versions(workdir) | dict(versions)
    write_text_atomically(workdir.stable_file, json.dumps(known, indent=1, sort_keys=True) + "\n")
