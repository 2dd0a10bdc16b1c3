"""The directory of a stage: finished or interrupted, and with what it needs of its dataset."""

import json
import shutil
from collections.abc import Mapping

from features.disk.files import link_tree, make_directory, staged_directory, write_text_atomically
from features.disk.layout import DatasetLayout, StageLayout
from features.disk.manifest import Manifest, finished_with, read_manifest
from features.errors import InputError
from trainer.training.inputs import require_same_dataset


def finished_stage(layout: StageLayout, inputs: Mapping[str, str]) -> Manifest | None:
    """The manifest of a stage that was trained from these inputs and still has its model; else None."""
    return finished_with(layout.manifest, "run", inputs) if _has_model(layout) else None


def was_started_with(layout: StageLayout, inputs: Mapping[str, str]) -> bool:
    """Whether the directory holds a training from these inputs, finished or not."""
    try:
        return layout.inputs.read_bytes() == _as_json(inputs).encode()
    except OSError:
        return False


def start_stage(layout: StageLayout, inputs: Mapping[str, str], dataset: DatasetLayout) -> None:
    """Makes the stage's directory ready to train in; a training from the same inputs that is there goes on.

    Args:
        layout: the stage's directory.
        inputs: fingerprints of what the stage is trained from.
        dataset: Dataset whose facts the directory keeps.

    Raises:
        InputError: the directory cannot be written, or holds a training from other inputs, which stays.
    """
    make_directory(layout.directory)
    if layout.inputs.exists() and not was_started_with(layout, inputs):
        raise InputError(
            f"run {layout.directory}: holds a training from other inputs; train in another run, or delete that "
            "directory"
        )
    if layout.manifest.exists() and not _has_model(layout):
        _start_anew(layout)
    _keep_facts(dataset, layout.dataset, inputs["dataset"])
    write_text_atomically(layout.inputs, _as_json(inputs))


def _has_model(layout: StageLayout) -> bool:
    return any(layout.best_checkpoints.glob("*.index"))


def _start_anew(layout: StageLayout) -> None:
    """Removes what is left of a stage that lost its model, the manifest first: nobody takes it for finished."""
    layout.manifest.unlink()
    for directory in (layout.checkpoints, layout.tensorboard):
        shutil.rmtree(directory, ignore_errors=True)
    layout.metrics.unlink(missing_ok=True)


def _keep_facts(dataset: DatasetLayout, kept: DatasetLayout, expected: str) -> None:
    """Links what restoring the model needs of the dataset, which `recstack prepare` may replace.

    Raises:
        InputError: the dataset has been replaced already.
    """
    try:
        if read_manifest(kept.manifest, "dataset").fingerprint() == expected:
            return
    except InputError:
        pass
    with staged_directory(kept.root) as staging:
        for path in dataset.facts:
            if path.exists():
                link_tree(path, staging / path.name)
        require_same_dataset(dataset, expected)


def _as_json(inputs: Mapping[str, str]) -> str:
    return json.dumps(dict(inputs), indent=1, sort_keys=True) + "\n"
