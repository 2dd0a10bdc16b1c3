"""Trained models from a finished run."""

from dataclasses import dataclass
from typing import Generic

from features.disk.manifest import Manifest, read_manifest, require_schema
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import InputError
from trainer.data.catalogue import EncodedCatalogue
from trainer.data.encoded_dataset import EncodedDataset, encode_dataset
from trainer.training.checkpoints import restore_best
from trainer.training.inputs import changes_since, config_fingerprint
from trainer.training.stage import AnyStage, ConfigT, EventsT, ModelT, Stage, StageContext, TrainedT


@dataclass(frozen=True, kw_only=True)
class Trained(Generic[TrainedT]):
    """A stage's model with what it needs to answer raw queries."""

    encoder: SchemaEncoder
    """Raw features to encoded ones."""
    model: TrainedT
    """The model with the weights that were best on validation."""
    candidates: EncodedCatalogue
    """The catalogue."""


def restore(
    context: StageContext,
    stage: Stage[ConfigT, EventsT, ModelT, TrainedT],
    dataset: EncodedDataset | None = None,
) -> Trained[TrainedT]:
    """Loads the model of a finished stage with the vocabularies, statistics and catalogue that it was trained with.

    The run keeps these, so the model can be restored after `recstack prepare` has replaced the dataset.

    Args:
        context: names the run.
        stage: the finished stage.
        dataset: encoder and catalogue of the dataset that the stage was trained on, if they were read before.

    Raises:
        InputError: the stage is missing, unfinished, or was made with another schema or configuration.
    """
    layout = context.run.stage(stage.name)
    _require_finished(context, stage)
    dataset = dataset or encode_dataset(context.schema, layout.dataset)
    model = stage.make_model(dataset, None, seed=0)
    restore_best(model, layout)
    return Trained(encoder=dataset.encoder, model=stage.trained(model), candidates=dataset.candidates)


def require_trained(context: StageContext, stage: AnyStage) -> None:
    """Refuses a stage that is not the finished one of this dataset and configuration.

    Raises:
        InputError: it is missing, unfinished, or was made from another dataset, schema or configuration.
    """
    manifest, dataset = _require_finished(context, stage), context.dataset
    trained_on = manifest.inputs.get("dataset")
    found = read_manifest(dataset.manifest, "dataset").fingerprint()
    if trained_on != found:
        raise InputError(
            f"run {context.run.stage(stage.name).directory}: trained on dataset {trained_on}, but {dataset.root} is "
            f"{found} now; run `recstack train` for a run of the new dataset, this one stays as it is"
        )


def _require_finished(context: StageContext, stage: AnyStage) -> Manifest:
    layout = context.run.stage(stage.name)
    manifest = read_manifest(layout.manifest, "run")
    require_schema(manifest, context.schema.fingerprint(), layout.manifest)
    if manifest.inputs.get("config") != config_fingerprint(stage.config):
        changes = changes_since(manifest, stage)
        raise InputError(
            f"run {layout.directory}: trained with another configuration; give the options that `recstack train` was "
            f"given, or run it again:{changes}"
        )
    return manifest
