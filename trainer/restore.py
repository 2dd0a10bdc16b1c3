"""Trained models from a finished run."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from features.disk.layout import DatasetLayout, RunLayout
from features.disk.manifest import read_manifest, require_schema
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import InputError
from features.schema import Schema
from features.serialization import unstructure
from trainer.config.ranking import RankingConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.data.catalogue import EncodedCatalogue, load_catalogue
from trainer.ranking.model import RankingModel
from trainer.retrieval.model import TwoTowerModel
from trainer.training.loop import best_checkpoints, restoring
from trainer.training.runs import config_fingerprint


@dataclass(frozen=True, kw_only=True)
class TrainedRetrieval:
    """A two-tower model with what it needs to answer raw queries."""

    encoder: SchemaEncoder
    """Raw features to encoded ones."""
    model: TwoTowerModel
    """With the weights that validation liked best."""
    candidates: EncodedCatalogue
    """The catalogue."""


@dataclass(frozen=True, kw_only=True)
class TrainedRanking:
    """A ranking model with what it needs to answer raw queries."""

    encoder: SchemaEncoder
    """Raw features to encoded ones."""
    model: RankingModel
    """With the weights that validation liked best."""
    candidates: EncodedCatalogue
    """The catalogue."""


def restore_retrieval(
    schema: Schema, dataset: DatasetLayout, run: RunLayout, config: RetrievalConfig
) -> TrainedRetrieval:
    """Loads a finished retrieval run.

    Raises:
        InputError: the run is missing, unfinished, or was made from another dataset, schema or configuration.
    """
    require_run(schema, dataset, run, config)
    encoder = SchemaEncoder(schema, dataset)
    candidates = load_catalogue(dataset, encoder)
    model = TwoTowerModel(config, encoder, candidates, seed=0)
    _load_best(model, run)
    model.freeze()
    return TrainedRetrieval(encoder=encoder, model=model, candidates=candidates)


def restore_ranking(schema: Schema, dataset: DatasetLayout, run: RunLayout, config: RankingConfig) -> TrainedRanking:
    """Loads a finished ranking run.

    Raises:
        InputError: the run is missing, unfinished, or was made from another dataset, schema or configuration.
    """
    require_run(schema, dataset, run, config)
    encoder = SchemaEncoder(schema, dataset)
    candidates = load_catalogue(dataset, encoder)
    model = RankingModel(config, encoder, candidates, seed=0, label_mean=0.5)
    _load_best(model, run)
    return TrainedRanking(encoder=encoder, model=model, candidates=candidates)


def require_run(
    schema: Schema, dataset: DatasetLayout, run: RunLayout, config: RetrievalConfig | RankingConfig
) -> None:
    """Refuses a run that is not the finished one of this dataset and configuration.

    Raises:
        InputError: it is missing, unfinished, or was made from another dataset, schema or configuration.
    """
    manifest = read_manifest(run.manifest, "run")
    require_schema(manifest, schema.fingerprint(), run.manifest)
    trained_on = manifest.inputs.get("dataset")
    found = read_manifest(dataset.manifest, "dataset").fingerprint()
    if trained_on != found:
        raise InputError(
            f"run {run.directory}: trained on dataset {trained_on}, but {dataset.root} is {found}; "
            "run `recstack train` again"
        )
    if manifest.inputs.get("config") != config_fingerprint(config):
        changes = "".join(f"\n  {change}" for change in _changes(manifest.config, unstructure(config), run.stage))
        raise InputError(
            f"run {run.directory}: trained with another configuration; give the options that `recstack train` was "
            f"given, or run it again:{changes}"
        )


def _changes(trained: object, given: object, name: str) -> Iterator[str]:
    """What a run was trained with and what is asked for, by the names of the fields that differ."""
    if isinstance(trained, Mapping) and isinstance(given, Mapping):
        for key in dict.fromkeys((*trained, *given)):
            yield from _changes(trained.get(key), given.get(key), f"{name}.{key}")
    elif trained != given:
        yield f"{name}: trained with {json.dumps(trained)}, now {json.dumps(given)}"


def _load_best(model: TwoTowerModel | RankingModel, run: RunLayout) -> None:
    best = best_checkpoints(model, run)
    if best.latest_checkpoint is None:
        raise InputError(f"run {run.directory}: no checkpoint found below {best.directory}; run `recstack train` again")
    with restoring(run):
        best.checkpoint.restore(best.latest_checkpoint).assert_existing_objects_matched().expect_partial()
