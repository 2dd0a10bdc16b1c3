"""The first step of each optimizer, and the learning rates of a training, against their formulas."""

import math
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf

from trainer.config.training import OptimizerConfig, OptimizerKind
from trainer.training.optimizers import LARGE_TABLE, OPTIMIZERS, WarmupSchedule, make_optimizer

GRADIENT = np.array([0.5, -2.0, 0.0], np.float32)
RATE = 0.25
FIRST_STEP = {
    # Both moments start at 0 and are corrected for it, so that the first step follows the gradient's sign.
    **dict.fromkeys(["auto", "adam", "row_wise_adam"], -RATE * np.sign(GRADIENT)),
    # Two rows are no table: one sum a component.
    **dict.fromkeys(["adagrad", "row_wise_adagrad"], -RATE * GRADIENT / np.sqrt(0.1 + GRADIENT**2)),
    "sgd": -RATE * GRADIENT,
}


def test_every_kind_has_an_optimizer():
    assert set(OPTIMIZERS) == set(get_args(OptimizerKind))


@pytest.mark.parametrize("kind", get_args(OptimizerKind))
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
def test_first_step(kind, is_sparse):
    optimizer = make_optimizer(OptimizerConfig(kind=kind, learning_rate=RATE, warmup_steps=0), total_steps=10)
    table = tf.Variable(np.ones([2, 3], np.float32))
    whole = np.stack([np.zeros(3, np.float32), GRADIENT])
    gradient = tf.IndexedSlices(GRADIENT[None], [1], [2, 3]) if is_sparse else tf.constant(whole)
    optimizer.apply_gradients([(gradient, table)])
    np.testing.assert_allclose(table, [np.ones(3), 1 + FIRST_STEP[kind]], rtol=1e-5)


def rates(total_steps, **options):
    schedule = WarmupSchedule(OptimizerConfig(learning_rate=RATE, **options), total_steps)
    return [float(schedule(tf.constant(step, tf.int64))) for step in range(total_steps + 1)]


def test_the_rate_rises_in_a_line_then_falls_as_a_cosine():
    found = rates(100, warmup_steps=4)
    np.testing.assert_allclose(found[:4], RATE * np.array([1, 2, 3, 4]) / 4, rtol=1e-6)
    falling = [RATE * 0.5 * (1 + math.cos(math.pi * (step - 4) / 96)) for step in range(4, 101)]
    np.testing.assert_allclose(found[4:], falling, rtol=1e-5, atol=1e-7)
    assert found[-1] == pytest.approx(0.0, abs=1e-7)


def test_a_constant_rate_stays_where_the_warm_up_ends():
    assert rates(100, warmup_steps=4, schedule="constant")[3:] == [RATE] * 98


def test_the_warm_up_is_at_most_a_tenth_of_the_training():
    assert rates(20, warmup_steps=100, schedule="constant")[:3] == [RATE / 2, RATE, RATE]


@pytest.mark.parametrize(("rows", "moves"), [(LARGE_TABLE - 1, True), (LARGE_TABLE, False)], ids=["small", "large"])
def test_auto_lets_rows_of_large_tables_rest(rows, moves):
    """Of Adam, a row goes on moving after its last gradient where the table is small."""
    optimizer = make_optimizer(OptimizerConfig(learning_rate=RATE, warmup_steps=0, schedule="constant"), total_steps=10)
    table = tf.Variable(np.zeros([rows, 1], np.float32))
    optimizer.apply_gradients([(tf.IndexedSlices(np.ones([1, 1], np.float32), [7], [rows, 1]), table)])
    after_one = table.numpy()
    optimizer.apply_gradients([(tf.IndexedSlices(np.ones([1, 1], np.float32), [8], [rows, 1]), table)])
    assert (table.numpy()[7] != after_one[7]) == moves
