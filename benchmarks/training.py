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
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import tensorflow as tf
import tyro
from prepare import make_events
from tfrs_guide import BATCH, DIMENSION, LEARNING_RATE, batches, compiled_model

from beam_pipelines.prepare import prepare_dataset
from features.encoding import SchemaEncoder
from features.errors import InputError
from features.layout import Workdir
from features.schema import Schema
from features.spec import IdFeature
from recstack.config import StackConfig, load_config, parse_config
from trainer.batches import Examples, event_examples
from trainer.candidates import CandidateTable, load_candidates
from trainer.config import LossConfig, OptimizerConfig, RetrievalConfig
from trainer.evaluate.data import training_interactions
from trainer.events import Events, load_events
from trainer.fit import State, Training, make_step
from trainer.models.two_tower import TwoTowerModel
from trainer.optimizers import make_optimizer

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
    steps: int = 60
    """Steps timed, after ten that are not."""


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
        candidates = load_candidates(layout, encoder)
        events = load_events(layout.interactions("train"), encoder, candidates.rows(), ranking=False)
    guide = _time_guide(encoder, candidates, events, arguments.steps)
    ours = _time_ours(schema, encoder, candidates, events, arguments.steps)
    products = 3 * 2 * BATCH * BATCH * DIMENSION / (BATCH / ours)
    limit = _matmul_rate()
    print(f"{len(events.targets()):,} events, {len(candidates):,} items")
    print(f"guide   {guide:10,.0f} examples/s")
    print(f"ours    {ours:10,.0f} examples/s, {ours / guide:.1f} times the guide's")
    share = f"{products / limit:.0%}"
    print(f"matmul  {products / 1e9:10,.1f} GFLOP/s, {share} of the {limit / 1e9:,.1f} that this machine reaches")


def generated(folder: Path) -> StackConfig:
    """A configuration for a million events, which are written into the folder."""
    path = folder / "events.parquet"
    make_events(path, 1_000_000)
    return parse_config(GENERATED.replace(path.name, str(path)))


def _time_guide(encoder: SchemaEncoder, candidates: CandidateTable, events: Events, steps: int) -> float:
    first_user = encoder.lookup(encoder.schema.user_id).vocabulary.first_token_index
    interactions = training_interactions(events, encoder.schema, first_user, len(candidates))
    model = compiled_model(interactions.num_users, interactions.num_items)
    data = batches(interactions.user_rows, interactions.item_rows).repeat()
    model.fit(data, steps_per_epoch=10, epochs=1, verbose=0)
    started = time.perf_counter()
    model.fit(data, steps_per_epoch=steps, epochs=1, verbose=0)
    return steps * BATCH / (time.perf_counter() - started)


def _time_ours(schema: Schema, encoder: SchemaEncoder, candidates: CandidateTable, events: Events, steps: int) -> float:
    config = RetrievalConfig(
        dimension=DIMENSION,
        score="dot",
        item_bias=False,
        loss=LossConfig(negatives="in_batch", temperature=1.0),
        optimizer=OptimizerConfig(kind="adagrad", learning_rate=LEARNING_RATE, schedule="constant"),
        batch_size=BATCH,
    )
    targets = events.targets()
    examples = Examples(
        arrange=lambda generator: generator.permutation(targets),
        num_examples=len(targets),
        gather=event_examples(events, schema),
        batch_size=BATCH,
        seed=0,
    )
    model = TwoTowerModel(config, encoder, candidates, seed=0)
    optimizer = make_optimizer(config.optimizer, steps + 10)
    training = Training(
        stage="retrieval",
        model=model,
        optimizer=optimizer,
        examples=examples,
        epochs=1,
        patience=0,
        validate=None,
        objective="",
        maximise=True,
        checkpoint_seconds=1e9,
    )
    step = make_step(training, State(), tf.distribute.get_strategy())
    batches = iter(examples.epoch(0, 0, tf.distribute.InputContext()).repeat())
    for _ in range(10):
        step(next(batches))
    started = time.perf_counter()
    for _ in range(steps):
        step(next(batches))
    return steps * BATCH / (time.perf_counter() - started)


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
