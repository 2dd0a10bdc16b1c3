"""What a trained stage depends on, as fingerprints."""

from features.disk.layout import DatasetLayout
from features.disk.manifest import read_manifest, require_schema
from features.errors import InputError
from features.schema import Schema, fingerprint
from features.serialization import unstructure
from trainer.config.training import TrainableConfig
from trainer.training.stage import AnyStage


def stage_inputs(
    stage: AnyStage, schema: Schema, dataset: DatasetLayout, seed: int, start_from: str = ""
) -> dict[str, str]:
    """Fingerprints of everything that a trained stage depends on; `start_from` is the id of a former run, or empty.

    Raises:
        InputError: the dataset is incomplete or of another schema.
    """
    manifest = read_manifest(dataset.manifest, "dataset")
    require_schema(manifest, schema.fingerprint(), dataset.manifest)
    own = {"dataset": manifest.fingerprint(), "config": config_fingerprint(stage.config), "seed": str(seed)}
    former = {"start_from": start_from} if start_from and stage.can_start_from else {}
    return own | former | dict(stage.inputs())


def config_fingerprint(config: TrainableConfig) -> str:
    """Identifies a stage's configuration."""
    return fingerprint([type(config).__name__, unstructure(config)])


def require_same_dataset(dataset: DatasetLayout, expected: str) -> None:
    """Refuses to go on with a dataset that `recstack prepare` has replaced since it was first looked at.

    Raises:
        InputError: its fingerprint is not the expected one.
    """
    if read_manifest(dataset.manifest, "dataset").fingerprint() != expected:
        raise InputError(
            f"dataset {dataset.root}: replaced while it was read, by a `recstack prepare` at the same time; "
            "run `recstack train` again"
        )
