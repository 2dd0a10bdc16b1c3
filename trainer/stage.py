"""The stages of a recommender, and the one function that trains any of them: dataset in, checkpoints out."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import tensorflow as tf

from features.disk.layout import StageLayout, StageName
from features.disk.manifest import Manifest, StageResult, producer_versions
from features.serialization import unstructure
from trainer.cascade.stage import ListRankingStage
from trainer.config.trainer import TrainerConfig
from trainer.data.encoded_dataset import EncodedDataset, encode_dataset
from trainer.ranking.stage import RankingStage
from trainer.restore import restore
from trainer.retrieval.stage import RetrievalStage
from trainer.retrieval.two_towers import TwoTowers
from trainer.training.inputs import is_streamed, require_same_dataset, stage_inputs
from trainer.training.loop import TrainingPlan, fit
from trainer.training.optimizers import make_optimizer
from trainer.training.progress import unreported
from trainer.training.stage import AnyStage, StageContext
from trainer.training.stage_directory import finished_stage, start_stage
from trainer.warm_start import warm_start


def _retrieval(config: TrainerConfig) -> RetrievalStage:
    return RetrievalStage(config=config.retrieval, evaluation=config.evaluation)


def list_ranking_of(config: TrainerConfig) -> ListRankingStage:
    """The list ranker behind the retrieval of the same configuration."""
    return ListRankingStage(config=config.list_ranking, retrieval=_retrieval(config), train_retrieval=_trained)


def _trained(context: StageContext, stage: RetrievalStage) -> TwoTowers:
    train_stage(context, stage)
    return restore(context, stage).model


_STAGES: Mapping[StageName, Callable[[TrainerConfig], AnyStage]] = {
    "retrieval": _retrieval,
    "ranking": lambda config: RankingStage(config=config.ranking),
    "list_ranking": list_ranking_of,
}


def stages_of(config: TrainerConfig) -> dict[StageName, AnyStage]:
    """The stages of a recommender by name, in the order in which they are trained."""
    return {name: make(config) for name, make in _STAGES.items()}


def train_stage(context: StageContext, stage: AnyStage, dataset: EncodedDataset | None = None) -> StageResult:
    """Trains one stage; the same call again resumes what was interrupted or finds nothing to do.

    Args:
        context: what the stages of the run share.
        stage: the stage.
        dataset: the context's dataset, if it is encoded already; by default it is read.

    Raises:
        ConfigError: the configuration asks for a feature that the schema does not have.
        InputError: the dataset is incomplete, of another schema or has no training events.
        RecstackError: the training diverged, or another worker ended.
    """
    started = time.monotonic()
    stage.require(context.schema)
    layout = context.run.stage(stage.name)
    former = context.start_from.id if context.start_from is not None else ""
    inputs = stage_inputs(stage, context.schema, context.dataset, context.seed, former, context.training)
    is_finished = context.cluster.agree({"finished": float(finished_stage(layout, inputs) is not None)})["finished"]
    if is_finished and (finished := finished_stage(layout, inputs)) is not None:
        return StageResult(manifest=finished, directory=layout.directory, nothing_to_do=True)
    with context.cluster.writable(layout.directory) as directory:
        own = StageLayout(directory)
        start_stage(own, inputs, context.dataset)
        context.cluster.wait()
        tf.keras.utils.set_random_seed(context.seed)
        dataset = dataset or encode_dataset(context.schema, context.dataset)
        plan = plan_training(replace(context, events=_events_on_disk(context, stage, own)), stage, dataset)
        require_same_dataset(context.dataset, inputs["dataset"])
        with context.cluster.together():
            metrics = fit(plan, layout, own, context.cluster.reporting(context.progress))
        shutil.rmtree(own.events, ignore_errors=True)
        manifest = Manifest(
            kind="run",
            schema_fingerprint=context.schema.fingerprint(),
            inputs=inputs,
            config=unstructure(stage.config),
            counts={"train_examples": plan.examples.num_examples, "items": len(dataset.candidates)},
            metrics=metrics,
            producer=producer_versions("tensorflow", "tensorflow-recommenders"),
            seconds=time.monotonic() - started,
        )
        manifest.write(own.manifest)
        context.cluster.wait()
    return StageResult(manifest=manifest, directory=layout.directory, nothing_to_do=False)


def _events_on_disk(context: StageContext, stage: AnyStage, own: StageLayout) -> Path | None:
    """Where this worker's encoded events go if they are streamed; None if they are held in memory."""
    if not is_streamed(stage, context.training, context.dataset):
        return None
    return own.events_of(context.cluster.worker, context.cluster.num_workers)


def plan_training(context: StageContext, stage: AnyStage, dataset: EncodedDataset) -> TrainingPlan:
    """Makes everything that the training loop needs: examples, model, optimizer and validation."""
    config = stage.config
    events = stage.load_events(context, dataset)
    validate = stage.make_validation(context, dataset)
    examples = stage.make_examples(events, context)
    with context.cluster.strategy.scope():
        model = stage.make_model(dataset, events, context.seed)
        optimizer = make_optimizer(
            config.optimizer, config.epochs * examples.steps_per_epoch, context.training.precision
        )
    if context.start_from is not None and stage.can_start_from:
        report = context.report if context.cluster.is_chief else unreported
        warm_start(model, stage, dataset, context.start_from.stage(stage.name), report)
    return TrainingPlan(
        stage=stage.name,
        model=model,
        cluster=context.cluster,
        optimizer=optimizer,
        examples=examples,
        epochs=config.epochs,
        patience=config.patience,
        validate=None if validate is None else lambda: validate(model),
        objective=stage.objective,
        maximise=stage.maximise,
        checkpoint_seconds=config.checkpoint_seconds,
        precision=context.training.precision,
        xla=context.training.xla,
        profile=context.profile,
        saves_when_stopped=context.saves_when_stopped,
        report=context.report if context.cluster.is_chief else unreported,
    )
