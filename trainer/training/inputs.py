"""What a trained stage depends on, as fingerprints."""

import json
from collections.abc import Iterator, Mapping

from features.disk.layout import DatasetLayout
from features.disk.manifest import Manifest, read_manifest, require_schema
from features.errors import ConfigError, InputError
from features.schema import Schema, fingerprint
from features.serialization import unstructure
from trainer.config.training import STREAMED_FROM, TrainableConfig, TrainingConfig
from trainer.training.stage import AnyStage

_IN_MEMORY = TrainingConfig()


def stage_inputs(
    stage: AnyStage,
    schema: Schema,
    dataset: DatasetLayout,
    seed: int,
    start_from: str = "",
    training: TrainingConfig = _IN_MEMORY,
) -> dict[str, str]:
    """Fingerprints of everything that a trained stage depends on; `start_from` is the id of a former run, or empty.

    Raises:
        InputError: the dataset is incomplete or of another schema.
    """
    manifest = read_manifest(dataset.manifest, "dataset")
    require_schema(manifest, schema.fingerprint(), dataset.manifest)
    own = {"dataset": manifest.fingerprint(), "config": config_fingerprint(stage.config), "seed": str(seed)}
    former = {"start_from": start_from} if start_from and stage.can_start_from else {}
    return (
        own
        | former
        | _order_of(stage, training, manifest)
        | _rounding(training)
        | _draws(training)
        | dict(stage.inputs())
    )


def is_streamed(stage: AnyStage, training: TrainingConfig, dataset: DatasetLayout) -> bool:
    """Whether a stage is trained on events from disk.

    Raises:
        ConfigError: `training.input` asks for that, and the stage's configuration for what needs all events at once.
    """
    return _is_streamed(stage, training, read_manifest(dataset.manifest, "dataset"))


def _is_streamed(stage: AnyStage, training: TrainingConfig, manifest: Manifest) -> bool:
    if training.input == "memory" or not stage.can_stream:
        return False
    obstacle = stage.streaming_obstacle()
    if training.input == "stream" and obstacle:
        raise ConfigError("training.input", "stream", f'"memory" or "auto", since {obstacle}')
    is_large = manifest.counts.get("events_train", 0) >= STREAMED_FROM
    return not obstacle and (training.input == "stream" or is_large)


def _order_of(stage: AnyStage, training: TrainingConfig, manifest: Manifest) -> dict[str, str]:
    """In which order events come, where they are not shuffled as a whole."""
    if not _is_streamed(stage, training, manifest):
        return {}
    return {"input": f"streamed in blocks of {training.block_events} events"}


def _rounding(training: TrainingConfig) -> dict[str, str]:
    """How products are rounded, if they are."""
    return {} if training.precision == "float32" else {"precision": training.precision}


def _draws(training: TrainingConfig) -> dict[str, str]:
    """Whether XLA compiles the steps: it draws other random numbers from the same seed."""
    return {"compiler": "xla"} if training.xla else {}


def config_fingerprint(config: TrainableConfig) -> str:
    """Identifies a stage's configuration."""
    return fingerprint([type(config).__name__, unstructure(config)])


def changes_since(manifest: Manifest, stage: AnyStage) -> str:
    """The fields in which a stage's configuration differs from the one that a run was trained with, a line each."""
    return "".join(f"\n  {change}" for change in _changes(manifest.config, unstructure(stage.config), stage.name))


def _changes(trained: object, given: object, name: str) -> Iterator[str]:
    """What a run was trained with and what is asked for, by the names of the fields that differ."""
    if isinstance(trained, Mapping) and isinstance(given, Mapping):
        for key in dict.fromkeys((*trained, *given)):
            yield from _changes(trained.get(key), given.get(key), f"{name}.{key}")
    elif trained != given:
        yield f"{name}: trained with {json.dumps(trained)}, now {json.dumps(given)}"


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
