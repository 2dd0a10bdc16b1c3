"""What the models and the loop do where parameter servers hold the weights, without any server."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.distribute.sharded_variable import ShardedVariable

from tests.trainer.layers.tables.test_contract import KINDS, NUM_INDICES, options_of, table_of
from trainer.config.encoders import TransformerConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.encoders.base import make_encoder
from trainer.training import loop
from trainer.training.loop import TrainingState
from trainer.warm_start import _parts_of_weights


def in_parts(variable: tf.Variable) -> ShardedVariable:
    """The variable cut in two."""
    values, name = variable.numpy(), variable.name.partition(":")[0]
    parts = [tf.Variable(rows, trainable=variable.trainable, name=name) for rows in np.array_split(values, 2)]
    return ShardedVariable(parts, name=name)


def cut(layer: tf.Module) -> None:
    """Cuts every weight of a layer that has more than one row."""
    for name, value in list(vars(layer).items()):
        if isinstance(value, tf.Variable) and value.shape.rank and value.shape[0] > 1:
            delattr(layer, name)
            setattr(layer, name, in_parts(value))


@pytest.mark.parametrize("name", KINDS)
def test_a_table_in_parts_answers_for_histories_as_a_whole_one(name: str) -> None:
    table = table_of(options_of(name))
    expected = table.all_vectors().numpy()
    cut(table)
    indices = np.array([[0, 1, 59], [5, 5, 7]], np.int32)
    np.testing.assert_array_equal(table(tf.constant(indices)), expected[indices])
    np.testing.assert_allclose(table.all_vectors(), expected, rtol=1e-6)
    assert len(expected) == NUM_INDICES


def test_positions_in_parts_are_looked_up_for_packed_histories() -> None:
    dropouts = DropoutSeries(step=tf.Variable(0, dtype=tf.int64))
    encoder = make_encoder(TransformerConfig(), 8, length=6, dropouts=dropouts)
    vectors = tf.random.stateless_normal([2, 6, 8], seed=[0, 0])
    positions = tf.constant([[0, 1, 2, 0, 1, -1], [0, 1, 2, 3, 4, 5]])
    expected = encoder.all_states(vectors, positions, training=False)
    cut(encoder)
    np.testing.assert_array_equal(encoder.all_states(vectors, positions, training=False), expected)


def test_parts_of_a_weight_are_found_together() -> None:
    whole, scalar, matrix = tf.Variable(tf.zeros([5, 2])), tf.Variable(1.0), tf.Variable(tf.zeros([4, 2]))
    sharded, next_one = in_parts(whole), in_parts(matrix)  # kept: a part refers to its whole weakly
    (first, second), others = sharded.variables, next_one.variables
    model = SimpleNamespace(trainable_variables=[first, second, *others, scalar, matrix])
    found = [[id(part) for part in parts] for parts in _parts_of_weights(model)]
    assert found == [[id(first), id(second)], [id(each) for each in others], [id(scalar)], [id(matrix)]]


@dataclass
class Handed:
    """Counts steps that are handed out and not known to be made."""

    coordinator: object = field(default_factory=object)
    waiting: int = 0
    most: int = 0

    def step(self, batch: object) -> None:
        self.waiting += 1
        self.most = max(self.most, self.waiting)

    def finish_steps(self) -> None:
        self.waiting = 0


def test_a_coordinator_holds_a_bounded_number_of_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_MOST_STEPS_ON_THEIR_WAY", 4)
    cluster = Handed()

    def sections(epoch: int, first_step: int) -> Iterator[object]:
        yield lambda context: range(10)
        yield lambda context: range(3)

    plan = SimpleNamespace(cluster=cluster, examples=SimpleNamespace(sections=sections))
    assert len([*loop._epoch_steps(plan, TrainingState(), cluster.step)]) == 13
    assert cluster.most == 4
