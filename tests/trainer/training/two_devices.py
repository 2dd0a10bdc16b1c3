"""Trains on one logical device and on two, and writes what came of it to files.

    python -m tests.trainer.training.two_devices gradients|training DATASET OUT NAME...

A process of its own, since TensorFlow fixes its logical devices when it first uses them. Nothing here is drawn by each
replica for itself, as dropout is. Scores are inner products: of a normalised vector, the parts of the gradient that lie
along it cancel, and what is left of them is noise.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf

from features.disk.layout import DatasetLayout, RunLayout
from tests.trainer.small_dataset import SCHEMA
from trainer.config.encoders import GRUConfig, TransformerConfig
from trainer.config.losses import SoftmaxConfig
from trainer.config.negatives import CrossBatchConfig, InBatchConfig
from trainer.config.ranking import DCNConfig, RankingConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.config.training import OptimizerConfig, StrategyName
from trainer.data.encoded_dataset import encode_dataset
from trainer.ranking.stage import RankingStage
from trainer.restore import restore
from trainer.retrieval.negatives import cross_batch, hard, in_batch, mixed
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import plan_training, train_stage
from trainer.training.cluster import make_cluster
from trainer.training.loop import TrainingState, make_step
from trainer.training.stage import AnyStage, StageContext

_SGD = OptimizerConfig(kind="sgd", learning_rate=0.5, warmup_steps=0)
_RETRIEVAL = RetrievalConfig(
    dimension=8, score="dot", loss=SoftmaxConfig(temperature=1.0), optimizer=_SGD, batch_size=8, epochs=2, patience=0
)
_HARD = CrossBatchConfig(memory=24, hard_negatives=2, index_steps=5)
_ENCODERS = TransformerConfig(side_features=True), (GRUConfig(side_features=True),)
_RANKING = RankingConfig(
    dimension=4, network=DCNConfig(hidden=(8,), dropout=0.0), optimizer=_SGD, batch_size=16, epochs=2, patience=0
)
STAGES: dict[str, AnyStage] = {
    "in_batch": RetrievalStage(config=replace(_RETRIEVAL, negatives=InBatchConfig())),
    "hard": RetrievalStage(config=replace(_RETRIEVAL, negatives=_HARD)),
    "repeat": RetrievalStage(config=replace(_RETRIEVAL, examples="basket", repeat=1.0)),
    "ensemble": RetrievalStage(
        config=replace(_RETRIEVAL, examples="sequence", encoder=_ENCODERS[0], ensemble=_ENCODERS[1], batch_size=32)
    ),
    "ranking": RankingStage(config=_RANKING),
}
# A power of two takes no bit off a gradient, and beside a step so long the weights before it count for nothing.
_LONG_STEP = 2.0**20

Arrays = dict[str, np.ndarray]


def gradients(context: StageContext, stage: AnyStage) -> Arrays:
    """The gradients of a training's first step by the weights' numbers, and the loss."""
    long_step = replace(stage.config.optimizer, learning_rate=_LONG_STEP)
    tf.keras.utils.set_random_seed(context.seed)
    dataset = encode_dataset(context.schema, context.dataset)
    plan = plan_training(context, replace(stage, config=replace(stage.config, optimizer=long_step)), dataset)
    state, strategy, weights = TrainingState(), context.cluster.strategy, plan.model.trainable_variables
    step = make_step(plan, state)
    before = [weight.numpy() for weight in weights]
    batches = strategy.distribute_datasets_from_function(lambda replicas: plan.examples.epoch(0, 0, replicas))
    step(next(iter(batches)))
    steps = [old - weight.numpy() for old, weight in zip(before, weights, strict=True)]
    return {str(number): step / _LONG_STEP for number, step in enumerate(steps)} | {"loss": state.loss.numpy()}


def training(context: StageContext, stage: AnyStage) -> Arrays:
    """The weights at the end of a training, by their numbers."""
    train_stage(context, stage)
    return {str(n): weight.numpy() for n, weight in enumerate(restore(context, stage).model.trainable_variables)}


@contextmanager
def broken_gathering() -> Iterator[None]:
    """Every replica takes its own part of the batch for the whole."""
    with ExitStack() as patches:
        for module in (cross_batch, hard, in_batch, mixed):
            patches.enter_context(mock.patch.object(module, "of_all_replicas", lambda rows: rows))
        yield


def main(what: str, dataset: DatasetLayout, out: Path, names: list[str]) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    measure = {"gradients": gradients, "training": training}[what]

    def measure_on(strategy: StrategyName, name: str, label: str) -> None:
        run, cluster = RunLayout(out / f"{name}-{label}"), make_cluster(strategy)
        context = StageContext(schema=SCHEMA, dataset=dataset, run=run, cluster=cluster)
        np.savez(out / f"{name}-{label}.npz", **measure(context, STAGES[name]))

    for name in names:
        measure_on("default", name, "one")
        measure_on("mirrored", name, "two")
        with broken_gathering():
            measure_on("mirrored", name, "broken")


if __name__ == "__main__":
    main(sys.argv[1], DatasetLayout(Path(sys.argv[2])), Path(sys.argv[3]), sys.argv[4:])
