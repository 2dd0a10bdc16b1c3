"""Optimizers of tables against their formulas, row by row."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from trainer.config.training import OptimizerConfig
from trainer.training.optimizers import WarmupSchedule
from trainer.training.row_wise import RowWiseAdagrad, RowWiseAdam, each_row_once

RATE, START = 0.25, 0.1
ROWS, WIDTH = 5, 3
SHAPE = (ROWS, WIDTH)
# The rows of each step; row 1 twice in the first, row 2 late, row 4 never.
TOUCHED = ([1, 0, 1], [1], [0, 1], [2, 0])
STEPS = [
    (rows, np.random.default_rng(number).normal(size=(len(rows), WIDTH)).astype(np.float32))
    for number, rows in enumerate(TOUCHED)
]
SCHEDULE = WarmupSchedule(OptimizerConfig(learning_rate=RATE, schedule="constant", warmup_steps=0), 10)


def adam(min_rows=ROWS):
    return RowWiseAdam(SCHEDULE, min_rows=min_rows)


def adagrad(min_rows=ROWS):
    return RowWiseAdagrad(SCHEDULE, min_rows=min_rows, initial_accumulator_value=START)


def gradients_of(row, steps=STEPS):
    """Of each step that has the row, with the sum over its places."""
    return [values[np.array(rows) == row].sum(axis=0) for rows, values in steps if row in rows]


def adam_path(gradients):
    """What Algorithm 1 of the paper adds to weights over the given gradients."""
    first, second, total = np.zeros(WIDTH), np.zeros(WIDTH), np.zeros(WIDTH)
    for step, gradient in enumerate(gradients, 1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        total -= RATE * first / (1 - 0.9**step) / np.sqrt(second / (1 - 0.999**step))
    return total


def adagrad_path(gradients):
    """What a sum of mean squares for the whole row makes of the given gradients."""
    sums, total = START, np.zeros(WIDTH)
    for gradient in gradients:
        sums += np.mean(gradient**2)
        total -= RATE * gradient / np.sqrt(sums)
    return total


def slices(rows, values, shape=SHAPE):
    return tf.IndexedSlices(values, tf.constant(rows), shape)


def train(optimizer, table, steps=STEPS):
    @tf.function(reduce_retracing=True)
    def step(rows, values):
        optimizer.apply_gradients([(tf.IndexedSlices(values, rows, SHAPE), table)])

    optimizer.build([table])
    for rows, values in steps:
        step(tf.constant(rows), tf.constant(values))


PATHS = pytest.mark.parametrize(("make", "path"), [(adam, adam_path), (adagrad, adagrad_path)])


@PATHS
def test_each_row_moves_by_its_own_gradients(make, path):
    table = tf.Variable(np.ones(SHAPE, np.float32))
    train(make(), table)
    expected = [1 + path(gradients_of(row)) for row in range(ROWS)]
    np.testing.assert_allclose(table, expected, rtol=1e-4)
    np.testing.assert_array_equal(table[3:], np.ones([2, WIDTH]))


@PATHS
def test_a_dense_gradient_moves_every_row(make, path):
    table, gradient = tf.Variable(np.zeros(SHAPE, np.float32)), np.arange(1.0, 16.0, dtype=np.float32).reshape(SHAPE)
    optimizer = make()
    for _ in range(3):
        optimizer.apply_gradients([(tf.constant(gradient), table)])
    np.testing.assert_allclose(table, [path([row] * 3) for row in gradient], rtol=1e-4)


@pytest.mark.parametrize("make", [adam, adagrad])
def test_a_table_of_numbers(make):
    """Such as a bias; Adagrad's sum for a row is then the one for its number."""
    table = tf.Variable(np.zeros(ROWS, np.float32))
    optimizer = make()
    for value in (2.0, -1.0):
        optimizer.apply_gradients([(slices([1], np.array([value], np.float32), (ROWS,)), table)])
    path = adam_path if make is adam else adagrad_path
    expected = path([np.full(WIDTH, value) for value in (2.0, -1.0)])[0]
    np.testing.assert_allclose(table, [0, expected, 0, 0, 0], rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "dense"),
    [
        (adam, lambda: tf.keras.optimizers.Adam(SCHEDULE)),
        (adagrad, lambda: tf.keras.optimizers.Adagrad(SCHEDULE, initial_accumulator_value=START)),
    ],
)
def test_smaller_weights_follow_the_dense_form(make, dense):
    found, expected = (tf.Variable(np.ones(SHAPE, np.float32)) for _ in range(2))
    train(make(min_rows=ROWS + 1), found)
    train(dense(), expected)
    np.testing.assert_array_equal(found, expected)


def test_with_all_rows_in_each_step_adam_is_the_dense_form():
    found, expected = (tf.Variable(np.ones(SHAPE, np.float32)) for _ in range(2))
    steps = [(np.arange(ROWS), np.random.default_rng(n).normal(size=SHAPE).astype(np.float32)) for n in range(4)]
    train(adam(), found, steps)
    train(tf.keras.optimizers.Adam(SCHEDULE), expected, steps)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("make", [adam, adagrad])
def test_a_checkpoint_keeps_the_state_of_rows(make, tmp_path):
    table, optimizer = tf.Variable(np.ones(SHAPE, np.float32)), make()
    train(optimizer, table, STEPS[:2])
    path = tf.train.Checkpoint(table=table, optimizer=optimizer).save(str(tmp_path / "checkpoint"))
    train(optimizer, table, STEPS[2:])
    other_table, other = tf.Variable(np.zeros(SHAPE, np.float32)), make()
    other.build([other_table])
    tf.train.Checkpoint(table=other_table, optimizer=other).restore(path).assert_consumed()
    train(other, other_table, STEPS[2:])
    np.testing.assert_array_equal(other_table, table)


def test_adagrad_keeps_one_number_a_row():
    optimizer, table = adagrad(), tf.Variable(np.ones(SHAPE, np.float32))
    train(optimizer, table)
    squares = [START + sum(np.mean(gradient**2) for gradient in gradients_of(row)) for row in range(ROWS)]
    np.testing.assert_allclose(optimizer._accumulators[0], squares, rtol=1e-5)


def test_slices_of_a_row_are_summed_up():
    gradient = tf.IndexedSlices(tf.constant([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0]]), tf.constant([4, 0, 4]), [5, 2])
    once = each_row_once(gradient)
    assert once.indices.numpy().tolist() == [4, 0]
    assert once.values.numpy().tolist() == [[11.0, 22.0], [3.0, 4.0]]
    assert each_row_once(None) is None
    dense = tf.constant([1.0])
    assert each_row_once(dense) is dense


@pytest.mark.slow
def test_two_devices_move_a_row_by_the_sum_of_their_gradients(tmp_path):
    """A row that both look up moves once: moved by each in turn, it would count two steps."""
    out = tmp_path / "tables.npz"
    command = [sys.executable, "-m", "tests.trainer.training.two_devices_rows", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(out) as tables:
        for make, path in ((adam, adam_path), (adagrad, adagrad_path)):
            expected = [1 + path(gradients_of(row)) for row in range(ROWS)]
            np.testing.assert_allclose(tables[make.__name__], expected, rtol=1e-4)
