"""Dataset directory in, trained checkpoints out: one linear function a stage."""

import time
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from features.disk.layout import DatasetLayout, RunLayout, shards
from features.disk.manifest import Manifest, producer_versions
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import InputError
from features.schema import Schema
from features.serialization import unstructure
from trainer.config.evaluation import EvaluationConfig
from trainer.config.ranking import RankingConfig
from trainer.config.retrieval import RetrievalConfig, require_history
from trainer.config.training import StrategyName
from trainer.data.batches import (
    BatchPlan,
    Gather,
    basket_examples,
    baskets_of,
    batch_size_for,
    event_examples,
    ranking_examples,
    sequence_examples,
    set_examples,
)
from trainer.data.catalogue import EncodedCatalogue, load_catalogue
from trainer.data.events import EncodedEvents, Int64, load_events
from trainer.data.packing import pack, row_width, stretches
from trainer.ranking.model import RankingModel
from trainer.ranking.validation import LOG_LOSS, RankingValidation
from trainer.retrieval.initialisation import initialise_items
from trainer.retrieval.model import TwoTowerModel
from trainer.retrieval.validation import NDCG, RetrievalValidation
from trainer.training.cluster import make_strategy
from trainer.training.loop import Progress, ProgressCallback, TrainingPlan, fit
from trainer.training.optimizers import make_optimizer
from trainer.training.runs import finished_run, run_inputs, start_run

StageConfig: TypeAlias = RetrievalConfig | RankingConfig


def silent(progress: Progress) -> None:
    """A progress callback that says nothing."""


def train_retrieval(  # noqa: PLR0913 - what a stage is made from, each given by the caller
    schema: Schema,
    dataset: DatasetLayout,
    run: RunLayout,
    config: RetrievalConfig,
    *,
    evaluation: EvaluationConfig | None = None,
    strategy: StrategyName = "default",
    seed: int = 0,
    progress: ProgressCallback = silent,
) -> tuple[Manifest, bool]:
    """Trains the two-tower model; the same call again resumes what was interrupted or finds nothing to do.

    Args:
        schema: of the dataset.
        dataset: written by `recstack prepare`.
        run: the stage's directory.
        config: of the model and its training.
        evaluation: how the model is to be judged: the epoch to keep is chosen in the same way, with or without the
            items seen, by all that follows or the next basket. The default's way if None.
        strategy: how the work is spread over devices.
        seed: of initial weights, order and dropout.
        progress: told how far the training is.

    Returns:
        The manifest of the finished run, and whether there was nothing to do.

    Raises:
        ConfigError: the configuration asks for a history that the schema does not have.
        InputError: the dataset is incomplete, of another schema or has no training events.
        RecstackError: the training diverged.
    """
    started = time.monotonic()
    require_history(config, schema)
    judged = evaluation or EvaluationConfig()
    inputs = {**run_inputs(schema, dataset, config, seed), "validation": _judged_by(judged)}
    if (finished := finished_run(run, inputs)) is not None:
        return finished, True
    start_run(run, inputs)
    tf.keras.utils.set_random_seed(seed)
    encoder = SchemaEncoder(schema, dataset)
    candidates = load_catalogue(dataset, encoder)
    train = load_events(dataset.interactions("train"), encoder, candidates.rows(), ranking=False)
    validate = _retrieval_validation(dataset, encoder, candidates, config, judged, seed)
    scope = make_strategy(strategy)
    weighted = train.weighted_by_age(config.half_life) if config.half_life else train
    examples = _retrieval_examples(weighted, schema, config, scope.num_replicas_in_sync, seed)
    with scope.scope():
        model = TwoTowerModel(config, encoder, candidates, seed=seed)
        initialise_items(model, train, candidates, config, seed)
        optimizer = make_optimizer(config.optimizer, config.epochs * examples.steps_per_epoch)
    training = TrainingPlan(
        stage="retrieval",
        model=model,
        optimizer=optimizer,
        examples=examples,
        epochs=config.epochs,
        patience=config.patience,
        validate=None if validate is None else lambda: validate(model),
        objective=NDCG,
        maximise=True,
        checkpoint_seconds=config.checkpoint_seconds,
    )
    metrics = fit(training, run, scope, progress)
    counts = {"train_examples": examples.num_examples, "items": len(candidates)}
    manifest = Manifest(
        kind="run",
        schema_fingerprint=schema.fingerprint(),
        inputs=inputs,
        config=unstructure(config),
        counts=counts,
        metrics=metrics,
        producer=producer_versions("tensorflow", "tensorflow-recommenders"),
        seconds=time.monotonic() - started,
    )
    manifest.write(run.manifest)
    return manifest, False


def train_ranking(  # noqa: PLR0913 - as train_retrieval
    schema: Schema,
    dataset: DatasetLayout,
    run: RunLayout,
    config: RankingConfig,
    *,
    strategy: StrategyName = "default",
    seed: int = 0,
    progress: ProgressCallback = silent,
) -> tuple[Manifest, bool]:
    """Trains the ranking model; arguments, result and errors are those of `train_retrieval`."""
    started = time.monotonic()
    inputs = run_inputs(schema, dataset, config, seed)
    if (finished := finished_run(run, inputs)) is not None:
        return finished, True
    start_run(run, inputs)
    tf.keras.utils.set_random_seed(seed)
    encoder = SchemaEncoder(schema, dataset)
    candidates = load_catalogue(dataset, encoder)
    train = load_events(dataset.ranking("train"), encoder, candidates.rows(), ranking=True)
    _require_probabilities(train, dataset)
    validate = _ranking_validation(dataset, encoder, candidates)
    scope = make_strategy(strategy)
    examples = _examples(train.targets(), ranking_examples(train, schema), config, scope.num_replicas_in_sync, seed)
    with scope.scope():
        model = RankingModel(config, encoder, candidates, seed=seed, label_mean=train.label_mean())
        optimizer = make_optimizer(config.optimizer, config.epochs * examples.steps_per_epoch)
    training = TrainingPlan(
        stage="ranking",
        model=model,
        optimizer=optimizer,
        examples=examples,
        epochs=config.epochs,
        patience=config.patience,
        validate=None if validate is None else lambda: validate(model),
        objective=LOG_LOSS,
        maximise=False,
        checkpoint_seconds=config.checkpoint_seconds,
    )
    metrics = fit(training, run, scope, progress)
    counts = {"train_examples": examples.num_examples, "items": len(candidates)}
    manifest = Manifest(
        kind="run",
        schema_fingerprint=schema.fingerprint(),
        inputs=inputs,
        config=unstructure(config),
        counts=counts,
        metrics=metrics,
        producer=producer_versions("tensorflow", "tensorflow-recommenders"),
        seconds=time.monotonic() - started,
    )
    manifest.write(run.manifest)
    return manifest, False


def _require_probabilities(events: EncodedEvents, dataset: DatasetLayout) -> None:
    """The model predicts the chance of a label of 1; of raw ratings its loss would make nonsense without a word."""
    targets = events.label[events.targets()]
    outside = targets[(targets < 0) | (targets > 1)]
    if len(outside):
        raise InputError(
            f"{dataset.ranking('train')}: label {outside[0]:g} found, expected 0 to 1: the model predicts the chance "
            'of a label of 1; set pipeline.label.ranking_label = "threshold" and run `recstack prepare` again'
        )


def _retrieval_examples(
    events: EncodedEvents, schema: Schema, config: RetrievalConfig, replicas: int, seed: int
) -> BatchPlan:
    if config.examples == "sequence":
        return _packed_examples(events, schema, config, replicas, seed)
    if config.examples == "set":
        records = (events.record_splits[1:] > events.record_splits[:-1]).nonzero()[0]
        return _examples(records, set_examples(events, schema), config, replicas, seed)
    with_entries = config.repeat > 0
    if config.examples == "basket":
        baskets = baskets_of(events)
        gather = basket_examples(events, schema, baskets, with_entries=with_entries)
        return _examples(np.arange(len(baskets)), gather, config, replicas, seed)
    gather = event_examples(events, schema, with_entries=with_entries)
    return _examples(events.targets(), gather, config, replicas, seed)


def _examples(indices: Int64, gather: Gather, config: StageConfig, replicas: int, seed: int) -> BatchPlan:
    if len(indices) == 0:
        raise _no_examples()
    return BatchPlan(
        arrange=lambda generator: generator.permutation(indices),
        num_examples=len(indices),
        gather=gather,
        batch_size=batch_size_for(config.batch_size, len(indices), replicas),
        seed=seed,
    )


def _packed_examples(
    events: EncodedEvents, schema: Schema, config: RetrievalConfig, replicas: int, seed: int
) -> BatchPlan:
    assert schema.history is not None
    starts, sizes = stretches(events, schema.history.length)
    if len(starts) == 0:
        raise _no_examples()
    width = row_width(sizes)
    num_rows = len(pack(starts, sizes, width, np.random.default_rng(0)))
    return BatchPlan(
        arrange=lambda generator: pack(starts, sizes, width, generator),
        num_examples=num_rows,
        gather=sequence_examples(events, schema),
        batch_size=batch_size_for(max(1, config.batch_size // width), num_rows, replicas),
        seed=seed,
    )


def _no_examples() -> InputError:
    return InputError(
        "the training split holds no event with an item of the catalogue (and, for sequences, none with another "
        "before it); check `pipeline.split` and the filters"
    )


def _judged_by(evaluation: EvaluationConfig) -> str:
    return f"targets {evaluation.targets}, seen items {'left out' if evaluation.exclude_seen else 'ranked'}"


def _retrieval_validation(
    dataset: DatasetLayout,
    encoder: SchemaEncoder,
    candidates: EncodedCatalogue,
    config: RetrievalConfig,
    evaluation: EvaluationConfig,
    seed: int,
) -> RetrievalValidation | None:
    if not shards(dataset.interactions("validation")):
        return None
    events = load_events(dataset.interactions("validation"), encoder, candidates.rows(), ranking=False)
    if len(events.targets()) == 0:
        return None
    return RetrievalValidation(
        events,
        encoder.schema,
        candidates,
        num_queries=config.validation_queries,
        seed=seed,
        exclude_seen=evaluation.exclude_seen,
        only_next=evaluation.targets == "next",
    )


def _ranking_validation(
    dataset: DatasetLayout, encoder: SchemaEncoder, candidates: EncodedCatalogue
) -> RankingValidation | None:
    if not shards(dataset.ranking("validation")):
        return None
    events = load_events(dataset.ranking("validation"), encoder, candidates.rows(), ranking=True)
    targets = events.targets()
    return RankingValidation(ranking_examples(events, encoder.schema), targets, candidates) if len(targets) else None
