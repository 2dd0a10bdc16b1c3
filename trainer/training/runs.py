"""The directory of a run: what belongs to these inputs stays, what belongs to others goes."""

import json
import shutil
from collections.abc import Mapping

from features.disk.files import make_directory, write_text_atomically
from features.disk.layout import DatasetLayout, RunLayout
from features.disk.manifest import Manifest, finished_with, read_manifest, require_schema
from features.schema import Schema, fingerprint
from features.serialization import unstructure
from trainer.config.ranking import RankingConfig
from trainer.config.retrieval import RetrievalConfig

# The inputs of a run that may not be finished; the manifest repeats them when it is.
_INPUTS_NAME = "inputs.json"


def finished_run(run: RunLayout, inputs: Mapping[str, str]) -> Manifest | None:
    """The manifest of a run that was made from these inputs and still has its model: then there is nothing to do."""
    return finished_with(run.manifest, "run", inputs) if _has_model(run) else None


def _has_model(run: RunLayout) -> bool:
    return any(run.best_checkpoints.glob("*.index"))


def start_run(run: RunLayout, inputs: Mapping[str, str]) -> None:
    """Makes the run's directory ready to train in, and removes what other inputs left there.

    Args:
        run: the stage's directory.
        inputs: fingerprints of what the run is made from.

    Raises:
        InputError: the directory cannot be made or written.
    """
    make_directory(run.directory)
    path = run.directory / _INPUTS_NAME
    text = json.dumps(dict(inputs), indent=1, sort_keys=True) + "\n"
    # A finished run that lost its model would otherwise take itself for finished again.
    is_lost = run.manifest.exists() and not _has_model(run)
    if path.exists() and path.read_bytes() == text.encode() and not is_lost:
        return
    # The manifest first: without it, nobody takes the directory for a finished run.
    run.manifest.unlink(missing_ok=True)
    for directory in (run.checkpoints, run.tensorboard):
        if directory.exists():
            shutil.rmtree(directory)
    run.metrics.unlink(missing_ok=True)
    write_text_atomically(path, text)


def run_inputs(
    schema: Schema, dataset: DatasetLayout, config: RetrievalConfig | RankingConfig, seed: int
) -> Mapping[str, str]:
    """Fingerprints of everything that a run's result depends on.

    Raises:
        InputError: the dataset is incomplete or of another schema.
    """
    manifest = read_manifest(dataset.manifest, "dataset")
    require_schema(manifest, schema.fingerprint(), dataset.manifest)
    return {"dataset": manifest.fingerprint(), "config": config_fingerprint(config), "seed": str(seed)}


def config_fingerprint(config: RetrievalConfig | RankingConfig) -> str:
    """Identifies a stage's configuration."""
    return fingerprint([type(config).__name__, unstructure(config)])
