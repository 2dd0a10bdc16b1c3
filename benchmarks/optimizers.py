"""Time of a training step and memory of the tables, by the rows of the item table and by optimizer.

    .venv/bin/python benchmarks/optimizers.py                                # 10,000 to 1,000,000 rows
    .venv/bin/python benchmarks/optimizers.py --rows 10000 10000000 --kinds row_wise_adam row_wise_adagrad

The step is the one that `recstack train` makes: histories of 20 items, 64 components, batches of 2,048, 2,048 uniform
negatives. The items of a batch are at most 8,000 different ones whatever the catalogue, so that what grows with the
rows is work on rows that the step does not touch. Each cell is a process of its own; the median of the steps counts.
"""

import features as features  # selects Keras 2, so it comes before TensorFlow

# isort: split
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import tensorflow as tf
import tyro

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.statistics import Statistics
from features.encoding.vocabulary import Vocabulary
from features.schema import Schema
from features.spec.history import HistoryFeature
from features.spec.ids import IdFeature
from trainer.config.negatives import UniformConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.config.training import OptimizerConfig, OptimizerKind
from trainer.data.batches import Batch, BatchPlan
from trainer.data.catalogue import EncodedCatalogue
from trainer.retrieval.model import TwoTowerModel
from trainer.training.cluster import Cluster
from trainer.training.loop import TrainingPlan, TrainingState, make_step
from trainer.training.optimizers import make_optimizer

BATCH, NEGATIVES, HISTORY, DIMENSION, ITEMS_A_BATCH = 2048, 2048, 20, 64, 8000
_UNTIMED_STEPS = 3
_MOST_DENSE_ROWS = 1_000_000  # dense Adam of more holds six copies of the table for a moment


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is measured."""

    rows: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Rows of the item table."""
    kinds: tuple[OptimizerKind, ...] = ("adam", "row_wise_adam", "adagrad", "row_wise_adagrad")
    """Optimizers; `adam` updates the whole table, and is left out beyond a million rows."""
    steps: int = 20
    """Steps timed."""
    only: bool = False
    """Measure the first of rows and kinds in this process, and print the bare numbers."""


def main(arguments: Arguments) -> None:
    """Prints one line for each optimizer: milliseconds a step and MiB of the process, by rows."""
    if arguments.only:
        print(*measured(arguments.rows[0], arguments.kinds[0], arguments.steps))
        return
    print(f"{'':<18}" + "".join(f"{f'{rows:,} rows':>28}" for rows in arguments.rows))
    for kind in arguments.kinds:
        cells = [_cell(rows, kind, arguments.steps) for rows in arguments.rows]
        print(f"{kind:<18}" + "".join(f"{cell:>28}" for cell in cells), flush=True)


def _cell(rows: int, kind: OptimizerKind, steps: int) -> str:
    if kind == "adam" and rows > _MOST_DENSE_ROWS:
        return "not run"
    command = [sys.executable, __file__, "--only", "--rows", str(rows), "--kinds", kind, "--steps", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    milliseconds, mebibytes = map(float, done.stdout.split())
    return f"{milliseconds:,.1f} ms  {mebibytes:,.0f} MiB"


def measured(rows: int, kind: OptimizerKind, steps: int) -> tuple[float, float]:
    """Milliseconds of a step, the median, and MiB that the process holds at its end."""
    make = step_of(rows, kind)
    seconds = []
    for _ in range(_UNTIMED_STEPS + steps):
        started = time.perf_counter()
        make()
        seconds.append(time.perf_counter() - started)
    return 1000 * median(seconds[_UNTIMED_STEPS:]), psutil.Process().memory_info().rss / 2**20


def step_of(rows: int, kind: OptimizerKind) -> Callable[[], None]:
    """A function that makes one step on a batch of its own."""
    config = RetrievalConfig(
        dimension=DIMENSION, batch_size=BATCH, negatives=UniformConfig(num_negatives=NEGATIVES), item_bias=True
    )
    schema = Schema(query=(HistoryFeature(length=HISTORY),), candidate=(IdFeature(name="item_id", oov_buckets=rows),))
    with TemporaryDirectory() as folder:
        encoder = _encoder(schema, DatasetLayout(Path(folder)))
    catalogue = EncodedCatalogue(
        item_ids=tf.zeros([rows], tf.string),
        features={"item_id": tf.range(1, rows + 1)},
        train_frequency=np.ones(rows, np.int64),
    )
    model = TwoTowerModel(config, encoder, catalogue, seed=0)
    examples = BatchPlan(
        arrange=lambda generator: generator.permutation(BATCH),
        num_examples=BATCH,
        gather=lambda indices: {},
        batch_size=BATCH,
        seed=0,
    )
    plan = TrainingPlan(
        stage="retrieval",
        model=model,
        cluster=Cluster(),
        optimizer=make_optimizer(OptimizerConfig(kind=kind, schedule="constant"), 1),
        examples=examples,
        epochs=1,
        patience=0,
        validate=None,
        objective="",
        maximise=True,
        checkpoint_seconds=1e9,
    )
    step = make_step(plan, TrainingState())
    generator = np.random.default_rng(0)
    return lambda: step(_batch(generator, rows))


def _encoder(schema: Schema, layout: DatasetLayout) -> SchemaEncoder:
    """An encoder without tokens: every item is a bucket of its own."""
    layout.vocabulary("item_id").parent.mkdir(parents=True)
    Vocabulary(()).write(layout.vocabulary("item_id"))
    Statistics(num_users=0, num_items=0, num_interactions=0).write(layout.statistics)
    return SchemaEncoder(schema, layout)


def _batch(generator: np.random.Generator, rows: int) -> Batch:
    """Histories and positives among a few items, which are others in each batch."""
    items = generator.integers(0, rows, ITEMS_A_BATCH, dtype=np.int32)
    return {
        "query": {"history": tf.constant(1 + generator.choice(items, [BATCH, HISTORY]))},
        "positive_query": tf.range(BATCH),
        "positive_row": tf.constant(generator.choice(items, BATCH)),
        "weight": tf.ones([BATCH]),
    }


if __name__ == "__main__":
    main(tyro.cli(Arguments))
