"""Trains on one logical device, on two and in two processes, and writes what came of it to files.

    python -m tests.trainer.training.two_devices gradients|training devices DATASET OUT NAME...
    TF_CONFIG=… python -m tests.trainer.training.two_devices gradients|training workers DATASET OUT NAME...

Processes of their own, since TensorFlow fixes its logical devices when it first uses them. Nothing here is drawn by
each replica for itself, as dropout is. Scores are inner products: of a normalised vector, the parts of the gradient
that lie along it cancel, and what is left of them is noise.
"""

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf

from features.disk.layout import DatasetLayout, RunLayout
from tests.trainer.small_dataset import SCHEMA
from trainer.config.encoders import GRUConfig, TransformerConfig
from trainer.config.losses import BCEConfig, BPRConfig, GBCEConfig, SoftmaxConfig
from trainer.config.negatives import (
    AllConfig,
    CrossBatchConfig,
    InBatchConfig,
    MixedConfig,
    PopularConfig,
    UniformConfig,
)
from trainer.config.ranking import DCNConfig, RankingConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.config.semantic_ids import SemanticIdsConfig
from trainer.config.training import OptimizerConfig
from trainer.data.encoded_dataset import encode_dataset
from trainer.ranking.stage import RankingStage
from trainer.restore import restore
from trainer.retrieval.negatives import cross_batch, hard, in_batch, mixed
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import plan_training, train_stage
from trainer.training.cluster import Cluster, make_cluster
from trainer.training.loop import TrainingState, make_step
from trainer.training.stage import AnyStage, StageContext

_SGD = OptimizerConfig(kind="sgd", learning_rate=0.5, warmup_steps=0)
_RETRIEVAL = RetrievalConfig(
    dimension=8, score="dot", loss=SoftmaxConfig(temperature=1.0), optimizer=_SGD, batch_size=8, epochs=2, patience=0
)
_HARD = CrossBatchConfig(memory=24, hard_negatives=2, index_steps=5)
_IDS = SemanticIdsConfig(levels=2, codes=2, components=2)
_ENCODERS = TransformerConfig(side_features=True), (GRUConfig(side_features=True),)
_RANKING = RankingConfig(
    dimension=4, network=DCNConfig(hidden=(8,), dropout=0.0), optimizer=_SGD, batch_size=16, epochs=2, patience=0
)
STAGES: dict[str, AnyStage] = {
    "in_batch": RetrievalStage(config=replace(_RETRIEVAL, negatives=InBatchConfig())),
    "hard": RetrievalStage(config=replace(_RETRIEVAL, negatives=_HARD)),
    "mixed": RetrievalStage(
        config=replace(_RETRIEVAL, negatives=MixedConfig(num_negatives=2), loss=BPRConfig(temperature=1.0))
    ),
    "cross_batch": RetrievalStage(config=replace(_RETRIEVAL, negatives=CrossBatchConfig(memory=24))),
    "popular": RetrievalStage(
        config=replace(
            _RETRIEVAL, examples="set", negatives=PopularConfig(num_negatives=6), loss=BCEConfig(temperature=1.0)
        )
    ),
    "uniform": RetrievalStage(
        config=replace(_RETRIEVAL, negatives=UniformConfig(num_negatives=6), loss=GBCEConfig(temperature=1.0))
    ),
    "all": RetrievalStage(config=replace(_RETRIEVAL, negatives=AllConfig())),
    "content": RetrievalStage(
        config=replace(_RETRIEVAL, examples="basket", content_weight=0.5, semantic_ids=_IDS, negatives=InBatchConfig())
    ),
    "repeat": RetrievalStage(config=replace(_RETRIEVAL, examples="basket", repeat=1.0)),
    "ensemble": RetrievalStage(
        config=replace(_RETRIEVAL, examples="sequence", encoder=_ENCODERS[0], ensemble=_ENCODERS[1], batch_size=32)
    ),
    "ranking": RankingStage(config=_RANKING),
}
# Those whose negatives are the whole batch's.
GATHERING = ("in_batch", "hard", "mixed", "cross_batch")
# A power of two takes no bit off a gradient, and beside a step so long the weights before it count for nothing.
_LONG_STEP = 2.0**20

Arrays = dict[str, np.ndarray]
Measure = Callable[[Cluster, str, str], None]


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


def on_devices(measure: Measure, names: list[str], broken: Collection[str]) -> None:
    """One logical device, two, and of some stages two that do not know of each other's part of the batch."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for name in names:
        measure(make_cluster("default"), name, "one")
        measure(make_cluster("mirrored"), name, "two")
        if name in broken:
            with broken_gathering():
                measure(make_cluster("mirrored"), name, "broken")


def in_workers(measure: Measure, names: list[str], broken: Collection[str]) -> None:
    """One of the processes that `TF_CONFIG` names, and of some stages one of those that do not know of each other."""
    cluster = make_cluster("multi_worker_mirrored")
    for name in names:
        measure(cluster, name, "workers")
        if name in broken:
            with broken_gathering():
                measure(cluster, name, "broken_workers")


def main(what: str, where: str, dataset: DatasetLayout, out: Path, names: list[str]) -> None:
    take = {"gradients": gradients, "training": training}[what]

    def measure(cluster: Cluster, name: str, label: str) -> None:
        run = RunLayout(out / f"{name}-{label}")
        arrays = take(StageContext(schema=SCHEMA, dataset=dataset, run=run, cluster=cluster), STAGES[name])
        if cluster.is_chief:
            np.savez(out / f"{name}-{label}.npz", **arrays)

    {"devices": on_devices, "workers": in_workers}[where](measure, names, GATHERING if what == "gradients" else ())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], DatasetLayout(Path(sys.argv[3])), Path(sys.argv[4]), sys.argv[5:])
