"""Training steps a second, beside the same model written as the TFRS guide writes it, in one run.

    .venv/bin/python benchmarks/training.py                                # generated events
    .venv/bin/python benchmarks/training.py --config configs/gowalla.toml

Both train user and item embeddings of 64 components by in-batch softmax, batches of 4,096 and Adagrad 0.1 on the same
events. The guide's way: `tfrs_guide.py`. Ours: the input, model and step that `recstack train` runs. How long each
takes to the same quality: `peers.py --peers guide`.
"""

import features as features  # selects Keras 2, so it comes before TensorFlow

# isort: split
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import tensorflow as tf
import tyro
from prepare import make_events
from tfrs_guide import BATCH, DIMENSION, LEARNING_RATE, batches, compiled_model

from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import Workdir
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import InputError
from features.schema import Schema
from features.spec.ids import IdFeature
from recstack.config import StackConfig, load_config, parse_config
from trainer.config.losses import SoftmaxConfig
from trainer.config.negatives import InBatchConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.config.training import OptimizerConfig
from trainer.data.batches import BatchPlan, event_examples
from trainer.data.catalogue import EncodedCatalogue, load_catalogue
from trainer.data.events import EncodedEvents, load_events
from trainer.evaluation.queries import training_interactions
from trainer.retrieval.model import TwoTowerModel
from trainer.training.cluster import Cluster
from trainer.training.loop import TrainingPlan, TrainingState, make_step
from trainer.training.optimizers import make_optimizer

GENERATED = """
[[features.query]]
kind = "id"
name = "user_id"

[[features.candidate]]
kind = "id"
name = "item_id"

[pipeline.interactions]
path = "events.parquet"
"""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is measured."""

    config: Path | None = None
    """Configuration of a dataset with a user id; none generates a million events."""
    steps: int = 20
    """Steps timed in a round, after ten that are not."""
    rounds: int = 5
    """Rounds, in each of which both are timed; the medians count."""


def main(arguments: Arguments) -> None:
    """Times both and prints examples a second, the ratio and the share of the matrix products."""
    with TemporaryDirectory() as folder:
        stack = generated(Path(folder)) if arguments.config is None else load_config(arguments.config)
        layout, schema = Workdir(Path(folder) / "work").dataset, stack.features
        if not any(isinstance(feature, IdFeature) for feature in schema.query):
            raise InputError(f"{arguments.config}: a query with a user id expected")
        schema = replace(schema, query=tuple(f for f in schema.query if isinstance(f, IdFeature)))
        prepare_dataset(schema, stack.pipeline, layout, seed=stack.seed, progress=lambda message: None)
        encoder = SchemaEncoder(schema, layout)
        candidates = load_catalogue(layout, encoder)
        events = load_events(layout.interactions("train"), encoder, candidates.rows(), records="retrieval")
    print(f"{len(events.targets()):,} events, {len(candidates):,} items")
    ways = (guide_steps(encoder, candidates, events), our_steps(schema, encoder, candidates, events))
    rounds = [[*(_rate(way, arguments.steps) for way in ways), _matmul_rate()] for _ in range(arguments.rounds)]
    guide, ours, limit = (median(rates) for rates in zip(*rounds, strict=True))
    ratios = sorted(of_ours / of_guide for of_guide, of_ours, _ in rounds)
    products = 3 * 2 * BATCH * BATCH * DIMENSION / (BATCH / ours)
    print(f"guide   {guide:10,.0f} examples/s")
    spread = f"{ratios[0]:.1f} to {ratios[-1]:.1f}"
    print(f"ours    {ours:10,.0f} examples/s, {median(ratios):.1f} times the guide's ({spread} in the rounds)")
    share = f"{products / limit:.0%}"
    print(f"matmul  {products / 1e9:10,.1f} GFLOP/s, {share} of the {limit / 1e9:,.1f} that this machine reaches")


def _rate(way: Callable[[int], None], steps: int) -> float:
    """Examples a second."""
    started = time.perf_counter()
    way(steps)
    return steps * BATCH / (time.perf_counter() - started)


def generated(folder: Path) -> StackConfig:
    """A configuration for a million events, which are written into the folder."""
    path = folder / "events.parquet"
    make_events(path, 1_000_000)
    return parse_config(GENERATED.replace(path.name, str(path)))


def guide_steps(encoder: SchemaEncoder, candidates: EncodedCatalogue, events: EncodedEvents) -> Callable[[int], None]:
    """A function that makes so many steps of the guide's way, ten of which are made already."""
    first_user = encoder.lookup(encoder.schema.user_id).vocabulary.first_token_index
    interactions = training_interactions([events], encoder.schema, first_user, len(candidates))
    model = compiled_model(interactions.num_users, interactions.num_items)
    data = batches(interactions.user_rows, interactions.item_rows).repeat()
    iterator = iter(data)  # `fit` of a dataset would begin it anew each time

    def run(steps: int) -> None:
        model.fit(iterator, steps_per_epoch=steps, epochs=1, verbose=0)

    run(10)
    return run


def our_steps(
    schema: Schema, encoder: SchemaEncoder, candidates: EncodedCatalogue, events: EncodedEvents
) -> Callable[[int], None]:
    """A function that makes so many steps of our way, ten of which are made already."""
    config = RetrievalConfig(
        dimension=DIMENSION,
        score="dot",
        item_bias=False,
        loss=SoftmaxConfig(temperature=1.0),
        negatives=InBatchConfig(),
        optimizer=OptimizerConfig(kind="adagrad", learning_rate=LEARNING_RATE, schedule="constant"),
        batch_size=BATCH,
    )
    targets = events.targets()
    examples = BatchPlan(
        arrange=lambda generator: generator.permutation(targets),
        num_examples=len(targets),
        gather=event_examples(events, schema),
        batch_size=BATCH,
        seed=0,
    )
    model = TwoTowerModel(config, encoder, candidates, seed=0)
    optimizer = make_optimizer(config.optimizer, 1)  # a constant rate, whatever the steps
    training = TrainingPlan(
        stage="retrieval",
        model=model,
        cluster=Cluster(),
        optimizer=optimizer,
        examples=examples,
        epochs=1,
        patience=0,
        validate=None,
        objective="",
        maximise=True,
        checkpoint_seconds=1e9,
    )
    step = make_step(training, TrainingState())
    batches = iter(examples.epoch(0, 0, tf.distribute.InputContext()).repeat())

    def run(steps: int) -> None:
        for _ in range(steps):
            step(next(batches))

    run(10)
    return run


def _matmul_rate() -> float:
    """Floating point operations a second of large float32 matrix products, the best of five."""
    matrix = tf.random.normal([2048, 2048])
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(matrix, matrix)))
    product().numpy()
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        product().numpy()
        seconds.append(time.perf_counter() - started)
    return 2 * 2048**3 / min(seconds)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
