"""Smaller rankers side by side: bytes on disk, milliseconds of a call, and what each costs in quality.

    .venv/bin/python benchmarks/small_rankers.py --config configs/movielens.toml

Of the list ranker: numbers in float16 and int8, fewer neighbours, half of the hidden units, and one small network that
was taught by the ensemble. Of the ranking model: embeddings in float16 and int8, and half of their rows. Size and time
are those of a SavedModel with the second stage alone, called for one query on one core. Trainings stay in `--work`.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from operator import methodcaller
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tyro
from rich.console import Console
from rich.table import Table

from features.disk.layout import Split
from recstack import stages
from recstack.config import StackConfig, load_config
from trainer.cascade.features import CandidateFeatures
from trainer.cascade.lists import CandidateLists, histories_of
from trainer.cascade.losses import softmax
from trainer.cascade.model import ListRanker
from trainer.cascade.stage import ListRankingStage
from trainer.cascade.validation import ListValidation, logits_of
from trainer.config.export import Precision
from trainer.data.encoded_dataset import EncodedDataset
from trainer.data.events import Float64
from trainer.evaluation.cascade import first_stage, lists_behind, splits_before
from trainer.evaluation.label_baselines import load_splits
from trainer.evaluation.queries import JudgedSplit
from trainer.evaluation.ranking import score_pairs
from trainer.evaluation.retrieval import load_data
from trainer.export.assembly import Assembly, ranker_of
from trainer.export.items import ItemFeatures
from trainer.export.orders import Found, ListOrder
from trainer.export.saving import directory_bytes
from trainer.export.servables import RankingServable
from trainer.index.item_ids import ItemIds
from trainer.layers.tables.contract import EmbeddingTable
from trainer.metrics.intervals import paired_test, user_groups
from trainer.ranking.model import RankingModel
from trainer.restore import Trained, restore
from trainer.stage import stages_of

SPLITS: tuple[Split, ...] = ("validation", "test")
PRECISIONS: tuple[Precision, ...] = ("float16", "int8")
CALLS, CANDIDATES = 100, 500
TEACHING_EPOCHS, TEACHING_RATE, LISTS_A_STEP = 12, 0.003, 32


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments."""

    config: Path
    """Configuration with a list ranker."""
    work: Path = Path("small-rankers")
    """Where the dataset and the trainings stay."""
    rankers: tuple[Literal["list_ranking", "ranking"], ...] = ("list_ranking", "ranking")
    """Second stages to make smaller and to compare."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One form of a ranker."""

    name: str
    num_bytes: int
    milliseconds: float
    """Median CPU time of a call."""
    quality: dict[Split, Float64]
    """`[queries]` NDCG, or `[events]` losses."""


def main(arguments: Arguments) -> None:
    """Trains what is missing and prints one table a second stage."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    stack = replace(load_config(arguments.config), workdir=arguments.work)
    stages.prepare(stack, print)
    for name in arguments.rankers:
        stages.train(stack, name)
    for name in arguments.rankers:
        show(*TABLES[name](stack))


def show(title: str, measured: list[Measured], users: dict[Split, np.ndarray]) -> None:
    """One row a form, with the difference to the full one and its interval over users."""
    table = Table(
        "", "MB", "CPU ms", *(f"{split}{part}" for split in SPLITS for part in ("", ": difference")), title=title
    )
    full = measured[0]
    for form in measured:
        cells = []
        for split in SPLITS:
            change = paired_test(form.quality[split], full.quality[split], users[split]).difference
            spread = "" if form is full else f"{change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"
            cells += [f"{form.quality[split].mean():.4f}", spread]
        table.add_row(form.name, f"{form.num_bytes / 1e6:.2f}", f"{form.milliseconds:.2f}", *cells)
    Console(width=150).print(table)


def list_rankers(stack: StackConfig) -> tuple[str, list[Measured], dict[Split, np.ndarray]]:
    """The list ranker in every form, judged by the NDCG of the cascade."""
    context, stage = stages.stage_context(stack, stages.own_run(stack)), stages_of(stack)["list_ranking"]
    assert isinstance(stage, ListRankingStage)
    trained = restore(context, stage)
    dataset = EncodedDataset(encoder=trained.encoder, candidates=trained.candidates)
    first = {split: first_stage(trained, context, stage, known=splits_before(split)) for split in SPLITS}
    queries = {
        split: load_data(trained, context.dataset, replace(stack.evaluation, split=split)).judged for split in SPLITS
    }
    users = {split: user_groups(queries[split].queries.user_rows) for split in SPLITS}

    def lists_of(features: Callable[[CandidateFeatures], CandidateFeatures]) -> dict[Split, CandidateLists]:
        behind = {split: replace(first[split], features=features(first[split].features)) for split in SPLITS}
        return {split: lists_behind(trained, queries[split], stage, behind[split]) for split in SPLITS}

    def measured(
        name: str, ranker: ListRanker, lists: dict[Split, CandidateLists], features: CandidateFeatures
    ) -> Measured:
        order = ListOrder(features, ranker, stage.config.history)
        size, call = saved_list_order(order, queries["test"], lists["test"], stage.config.history)
        ndcg = {split: ListValidation(lists[split], cutoff=stage.cutoff).ndcg_of(ranker) for split in SPLITS}
        print(name, size, {split: round(float(each.mean()), 4) for split, each in ndcg.items()}, flush=True)
        return Measured(name=name, num_bytes=size, milliseconds=cpu_ms(call), quality=ndcg)

    served, full = first["test"].features, lists_of(lambda features: features)
    found = [measured("full", trained.model, full, served)]
    for precision in PRECISIONS:
        rounded = lists_of(methodcaller("stored_in", precision))
        found.append(measured(precision, trained.model, rounded, served.stored_in(precision)))
    few = replace(stage, config=replace(stage.config, neighbours=max(stage.config.neighbours // 3, 1)))
    fewer = {split: few.first_stage(context, dataset, first[split].model, splits_before(split)) for split in SPLITS}
    pruned = {split: lists_behind(trained, queries[split], stage, fewer[split]) for split in SPLITS}
    found.append(measured(f"{few.config.neighbours} neighbours", trained.model, pruned, fewer["test"].features))
    found.append(measured("half of the units", with_half_of_the_units(trained.model, stage), full, served))
    student = taught(trained.model, stage, stage.load_events(context, dataset), hidden=(32,))
    found.append(measured("taught, one network of 32 units", student, full, served))
    kernels = sum(weight.numpy().nbytes for weight in trained.model.trainable_variables)
    title = f"List ranker, NDCG@{stage.cutoff} of the cascade; its networks are {kernels / 1e6:.2f} MB"
    return title, found, users


def with_half_of_the_units(ranker: ListRanker, stage: ListRankingStage) -> ListRanker:
    """Keeps the half of each hidden layer with the longest vectors of weights coming in and going out."""
    hidden = tuple(max(width // 2, 1) for width in stage.config.hidden)
    small = ListRanker(replace(stage.config, hidden=hidden), ranker.standardisation.mean.shape[0], seed=0)
    copy_standardisation(ranker, small)
    for old, new in zip(ranker.members, small.members, strict=True):
        layers, kept_before = [*old.hidden, old.deep], slice(None)
        for place, (layer, target) in enumerate(zip(layers, [*new.hidden, new.deep], strict=True)):
            kernel, bias = (weight.numpy() for weight in layer.weights)
            kept: Any = slice(None)
            if place < len(hidden):
                after = layers[place + 1].kernel.numpy()
                strength = np.linalg.norm(kernel, axis=0) * np.linalg.norm(after, axis=1)
                kept = np.sort(np.argsort(-strength)[: hidden[place]])
            target.set_weights([kernel[kept_before][:, kept], bias[kept]])
            kept_before = kept
        new.wide.set_weights(old.wide.get_weights())
    return small


def taught(
    teacher: ListRanker, stage: ListRankingStage, lists: CandidateLists, *, hidden: tuple[int, ...]
) -> ListRanker:
    """One network that learns the ensemble's softmax over each list (Hinton et al., https://arxiv.org/abs/1503.02531)."""
    config = replace(stage.config, members=1, hidden=hidden)
    student = ListRanker(config, teacher.standardisation.mean.shape[0], seed=0)
    copy_standardisation(teacher, student)
    is_item, chances = lists.rows >= 0, tf.nn.softmax(logits_of(teacher, lists)).numpy()
    optimizer = tf.keras.optimizers.Adam(TEACHING_RATE)
    optimizer.build(student.trainable_variables)

    @tf.function(autograph=False, reduce_retracing=True)
    def step(features: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(softmax(student(features, mask), targets, mask))
        gradients = tape.gradient(loss, student.trainable_variables)
        optimizer.apply_gradients(zip(gradients, student.trainable_variables, strict=True))

    rng = np.random.default_rng(0)
    for _ in range(TEACHING_EPOCHS):
        order = rng.permutation(len(is_item))
        for start in range(0, len(order), LISTS_A_STEP):
            chosen = order[start : start + LISTS_A_STEP]
            step(lists.features[chosen], chances[chosen], is_item[chosen])
    return student


def copy_standardisation(source: ListRanker, target: ListRanker) -> None:
    """Lets the target standardise as the source does."""
    for old, new in zip(source.standardisation.variables, target.standardisation.variables, strict=True):
        new.assign(old)


def saved_list_order(
    order: ListOrder, judged: JudgedSplit, lists: CandidateLists, length: int
) -> tuple[int, Iterator[Callable[[], object]]]:
    """Bytes of a SavedModel of the order alone, and calls for one real query each."""
    rows = tf.TensorSpec([None, None], tf.int32)
    module = tf.Module()
    module.order = order
    module.rank = tf.function(
        lambda history, candidates, scores: order.log_chances(
            Found(query={}, history=history, rows=candidates, scores=scores)
        ),
        input_signature=[rows, rows, tf.TensorSpec([None, None], tf.float32)],
        autograph=False,
    )
    loaded, size = saved(module)
    histories = histories_of(judged.events, judged.asked_at[:CALLS], length).rows

    def call(query: int) -> Callable[[], object]:
        given = [tf.constant(each[None]) for each in (histories[query], lists.rows[query], lists.features[query, :, 0])]
        return lambda: loaded.rank(*given)

    return size, (call(query) for query in range(min(CALLS, len(histories))))


def saved(module: tf.Module, **more: Any) -> tuple[Any, int]:
    """A module saved and loaded again, and its bytes on disk."""
    with TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, **more)
        return tf.saved_model.load(folder), directory_bytes(Path(folder))


def cpu_ms(calls: Iterator[Callable[[], object]]) -> float:
    """Median CPU milliseconds of some calls, the first of which is not counted."""
    seconds = []
    for call in calls:
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return float(np.median(seconds[1:])) * 1000


def ranking_models(stack: StackConfig) -> tuple[str, list[Measured], dict[Split, np.ndarray]]:
    """The ranking model in every form, judged by the loss of its first task."""
    context, stage = stages.stage_context(stack, stages.own_run(stack)), stages_of(stack)["ranking"]
    changes: dict[str, Callable[[RankingModel], None]] = {
        "full": lambda model: None,
        "float16": lambda model: model.store_in("float16"),
        "int8": lambda model: model.store_in("int8"),
        "half of the rows": without_short_rows,
    }
    assembly = Assembly(stages.export_job(stack, context.run))
    found, users = [], dict[Split, np.ndarray]()
    for name, change in changes.items():
        trained: Trained[RankingModel] = restore(context, stage)
        before = sum(w.numpy().nbytes for table in embeddings_of(trained.model) for w in table.trainable_variables)
        change(trained.model)
        items = ItemFeatures(assembly.encoder, assembly.candidates, ItemIds(assembly.item_ids))
        servable = RankingServable(assembly.encoder, assembly.query, ranker_of(trained.model), items)
        loaded, size = saved(servable, signatures=servable.signatures())
        quality = {}
        for split in SPLITS:
            quality[split], users[split] = losses(trained, stack, split)
        # Rows that are dropped would leave the file; here they are zeros in it.
        size -= before // 2 if name == "half of the rows" else 0
        calls = ranking_calls(loaded, assembly)
        found.append(Measured(name=name, num_bytes=size, milliseconds=cpu_ms(calls), quality=quality))
        print(name, size, {split: round(float(each.mean()), 4) for split, each in quality.items()}, flush=True)
    task = trained.encoder.schema.task[0]
    return f"Ranking model, loss of {task.name}; its embeddings are {before / 1e6:.2f} MB", found, users


def embeddings_of(model: RankingModel) -> list[EmbeddingTable]:
    """Every table, those of single numbers included."""
    return [module for module in model.submodules if isinstance(module, EmbeddingTable)]


def without_short_rows(model: RankingModel) -> None:
    """Drops the half of each table's rows that are nearest to zero, which are those of rare values."""
    for matrix in (weight for table in embeddings_of(model) for weight in table.trainable_variables):
        values = matrix.numpy()
        lengths = np.linalg.norm(values, axis=1)
        matrix.assign(np.where((lengths > np.median(lengths))[:, None], values, 0.0))


def losses(trained: Trained[RankingModel], stack: StackConfig, split: Split) -> tuple[Float64, np.ndarray]:
    """Each labelled event's loss of the first task, and its user."""
    splits = load_splits(trained, stack.layout.dataset, split)
    head, labels = trained.model.heads[0], splits.judged.labels[:, 0].astype(np.float64)
    scores = score_pairs(trained, splits.judged_events, splits.judged)[head.task_name]
    predictions = head.prediction(head.calibrated(scores)).numpy().astype(np.float64)
    known = ~np.isnan(labels)
    return head.errors(labels[known], predictions[known]), user_groups(splits.user_rows["judged"][known])


def ranking_calls(loaded: Any, assembly: Assembly) -> Iterator[Callable[[], object]]:
    """Calls of the signature for one known user and some of the catalogue's items."""
    signature = loaded.signatures["serving_default"]
    items = tf.constant([(assembly.item_ids * (1 + CANDIDATES // len(assembly.item_ids)))[:CANDIDATES]])
    inputs = assembly.query.inputs()
    for user in assembly.user_ids[:CALLS]:
        given = {n: tf.constant([user]) if each.default is None else each.default for n, each in inputs.items()}
        yield partial(signature, **given, item_ids=items)


TABLES = {"list_ranking": list_rankers, "ranking": ranking_models}

if __name__ == "__main__":
    main(tyro.cli(Arguments))
