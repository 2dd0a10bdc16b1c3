"""Training steps a second, beside the same model written as the TFRS guide writes it, in one run.

    recstack prepare --config configs/gowalla.toml
    python benchmarks/training.py --workdir recstack-gowalla

Both train user and item embeddings of 64 components by in-batch softmax, batches of 4,096 and Adagrad 0.1 on the same
events. The guide's way: `StringLookup` and `Embedding` towers, `tfrs.tasks.Retrieval`, `Model.fit` over shuffled
strings. Ours: the input, model and step that `recstack train` runs.
"""

import features as features  # selects Keras 2, so it comes before TensorFlow

# isort: split
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tyro

from features.encoding import SchemaEncoder
from features.errors import InputError
from features.layout import Workdir
from features.schema import Schema
from features.serialization import structure
from features.spec import IdFeature
from trainer.batches import Examples, event_examples
from trainer.candidates import CandidateTable, load_candidates
from trainer.config import LossConfig, OptimizerConfig, RetrievalConfig
from trainer.events import Events, load_events
from trainer.fit import State, Training, make_step
from trainer.models.two_tower import TwoTowerModel
from trainer.optimizers import make_optimizer

BATCH, DIMENSION, LEARNING_RATE = 4096, 64, 0.1


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is measured."""

    workdir: Path
    """Work directory of a prepared dataset with a user id."""
    steps: int = 60
    """Steps timed, after ten that are not."""


class GuideModel(tfrs.Model):
    """The retrieval model of the TFRS guide."""

    def __init__(self, users: list[str], items: list[str]) -> None:
        """Creates the towers."""
        super().__init__()
        self.user_model, self.item_model = self._tower(users), self._tower(items)
        self.task = tfrs.tasks.Retrieval()

    @staticmethod
    def _tower(tokens: list[str]) -> tf.keras.Model:
        lookup = tf.keras.layers.StringLookup(vocabulary=tokens, mask_token=None)
        return tf.keras.Sequential([lookup, tf.keras.layers.Embedding(len(tokens) + 1, DIMENSION)])

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The guide's loss."""
        users, items = self.user_model(inputs["user"]), self.item_model(inputs["item"])
        return self.task(users, items, compute_metrics=False)


def main(arguments: Arguments) -> None:
    """Times both and prints examples a second, the ratio and the share of the matrix products."""
    layout = Workdir(arguments.workdir).dataset
    schema = structure(json.loads(layout.schema.read_text()), Schema)
    if not any(isinstance(feature, IdFeature) for feature in schema.query):
        raise InputError(f"{layout.root}: a query with a user id expected")
    schema = replace(schema, query=tuple(f for f in schema.query if isinstance(f, IdFeature)))
    encoder = SchemaEncoder(schema, layout)
    candidates = load_candidates(layout, encoder)
    events = load_events(layout.interactions("train"), encoder, candidates.rows(), ranking=False)
    guide = _time_guide(encoder, events, arguments.steps)
    ours = _time_ours(schema, encoder, candidates, events, arguments.steps)
    products = 3 * 2 * BATCH * BATCH * DIMENSION / (BATCH / ours)
    limit = _matmul_rate()
    print(f"guide   {guide:10,.0f} examples/s")
    print(f"ours    {ours:10,.0f} examples/s, {ours / guide:.1f} times the guide's")
    share = f"{products / limit:.0%}"
    print(f"matmul  {products / 1e9:10,.1f} GFLOP/s, {share} of the {limit / 1e9:,.1f} that this machine reaches")


def _time_guide(encoder: SchemaEncoder, events: Events, steps: int) -> float:
    schema = encoder.schema
    users = list(encoder.lookup(schema.user_id).vocabulary.tokens)
    items = list(encoder.lookup(schema.item_id).vocabulary.tokens)
    first = [encoder.lookup(name).vocabulary.first_token_index for name in (schema.user_id, schema.item_id)]
    user_of_event = events.user[schema.user_id][events.record_of_event()] - first[0]
    columns = {
        "user": np.array(users)[user_of_event].astype(bytes),
        "item": np.array(items)[events.item_index - first[1]].astype(bytes),
    }
    model = GuideModel(users, items)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(LEARNING_RATE))
    data = tf.data.Dataset.from_tensor_slices(columns).shuffle(100_000, seed=0).repeat().batch(BATCH).prefetch(2)
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
