"""Which versions of each model the labels `stable` and `canary` name.

`stable` is what was last promoted, `canary` the newest version. A newest version that is the stable one again, since a
canary was rolled back, has no label: servers have the stable version loaded and can follow at once.
"""

import json
from collections.abc import Mapping

from features.disk.files import write_text_atomically
from features.disk.layout import ModelName, Workdir
from features.errors import InputError
from trainer.export.rollback import rolled_back_to


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


def canary_version(workdir: Workdir, model: ModelName) -> int:
    """The version that the label `canary` names; call it for a model that has a version.

    Raises:
        InputError: the file of the stable versions is damaged.
    """
    layout, stable = workdir.model(model), stable_version(workdir, model)
    newest = layout.versions()[-1]
    is_back = stable is not None and rolled_back_to(layout.manifest(newest)) == stable
    return stable if stable is not None and is_back else newest


def set_stable(workdir: Workdir, versions: Mapping[ModelName, int]) -> None:
    """Lets the label `stable` name these versions; other models keep theirs."""
    known = stable_versions(workdir) | dict(versions)
    write_text_atomically(workdir.stable_file, json.dumps(known, indent=1, sort_keys=True) + "\n")
