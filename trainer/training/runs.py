"""The directory of a stage: what belongs to these inputs stays, what belongs to others goes."""

import json
import shutil
from collections.abc import Mapping

from features.disk.files import make_directory, write_text_atomically
from features.disk.layout import StageLayout
from features.disk.manifest import Manifest, finished_with, read_manifest, require_schema
from features.schema import fingerprint
from features.serialization import unstructure
from trainer.config.training import TrainableConfig
from trainer.training.stage import AnyStage, StageContext


def finished_stage(layout: StageLayout, inputs: Mapping[str, str]) -> Manifest | None:
    """The manifest of a stage that was trained from these inputs and still has its model; else None."""
    return finished_with(layout.manifest, "run", inputs) if _has_model(layout) else None


def _has_model(layout: StageLayout) -> bool:
    return any(layout.best_checkpoints.glob("*.index"))


def start_stage(layout: StageLayout, inputs: Mapping[str, str]) -> None:
    """Makes the stage's directory ready to train in, and removes what other inputs left there.

    Args:
        layout: the stage's directory.
        inputs: fingerprints of what the stage is trained from.

    Raises:
        InputError: the directory cannot be made or written.
    """
    make_directory(layout.directory)
    path = layout.inputs
    text = json.dumps(dict(inputs), indent=1, sort_keys=True) + "\n"
    # A finished stage that lost its model would otherwise take itself for finished again.
    is_lost = layout.manifest.exists() and not _has_model(layout)
    if path.exists() and path.read_bytes() == text.encode() and not is_lost:
        return
    # The manifest first: without it, nobody takes the directory for a finished stage.
    layout.manifest.unlink(missing_ok=True)
    for directory in (layout.checkpoints, layout.tensorboard):
        if directory.exists():
            shutil.rmtree(directory)
    layout.metrics.unlink(missing_ok=True)
    write_text_atomically(path, text)


def stage_inputs(context: StageContext, stage: AnyStage) -> dict[str, str]:
    """Fingerprints of everything that a trained stage depends on.

    Raises:
        InputError: the dataset is incomplete or of another schema.
    """
    path = context.dataset.manifest
    manifest = read_manifest(path, "dataset")
    require_schema(manifest, context.schema.fingerprint(), path)
    own = {"dataset": manifest.fingerprint(), "config": config_fingerprint(stage.config), "seed": str(context.seed)}
    return own | dict(stage.inputs())


def config_fingerprint(config: TrainableConfig) -> str:
    """Identifies a stage's configuration."""
    return fingerprint([type(config).__name__, unstructure(config)])
