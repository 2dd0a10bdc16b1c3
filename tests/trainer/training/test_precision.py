"""Products in half precision: gradients near those in float32, and trainings that learn the same."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.small_dataset import SCHEMA
from tests.trainer.test_stage import RETRIEVAL, context, item_vectors
from tests.trainer.training.test_two_devices import largest_difference
from tests.trainer.training.two_devices import STAGES, gradients
from trainer.config.training import OptimizerConfig, TrainingConfig
from trainer.layers.products import Dense, matmul, products_in
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import train_stage
from trainer.training.inputs import stage_inputs

BFLOAT16, FLOAT16 = TrainingConfig(precision="mixed_bfloat16"), TrainingConfig(precision="mixed_float16")
# Both factors are off by half a unit in the last of 8 and of 11 bits, which several products in a row, and what they
# cancel, make 32 times as much.
TOLERANCE = {"mixed_bfloat16": 32 * 2 * 2.0**-9, "mixed_float16": 32 * 2 * 2.0**-12}


@pytest.mark.slow
@pytest.mark.parametrize("training", [BFLOAT16, FLOAT16], ids=lambda training: training.precision)
@pytest.mark.parametrize("name", ["in_batch", "ranking", "ensemble"])
def test_gradients_are_those_of_float32_but_for_rounding(small_dataset, tmp_path, name, training):
    expected = gradients(context(small_dataset, tmp_path / "expected"), STAGES[name])
    found = gradients(context(small_dataset, tmp_path / "found", training=training), STAGES[name])
    assert 0 < largest_difference(found, expected) < TOLERANCE[training.precision]


@pytest.mark.slow
def test_a_training_with_scaled_loss_learns_and_goes_on(small_dataset, tmp_path):
    config = replace(RETRIEVAL, epochs=4, optimizer=OptimizerConfig(kind="row_wise_adam", learning_rate=0.03))
    stage = RetrievalStage(config=config)
    train_stage(context(small_dataset, tmp_path / "half", training=FLOAT16), stage)
    train_stage(context(small_dataset, tmp_path / "whole"), stage)
    half, whole = (item_vectors(small_dataset, tmp_path / name, config) for name in ("half", "whole"))
    cosines = np.sum(half * whole, axis=1) / np.linalg.norm(half, axis=1) / np.linalg.norm(whole, axis=1)
    assert cosines.min() > 0.8  # Adam divides small gradients by their size, so that their rounding grows
    assert (half != whole).any()


def test_precision_is_part_of_what_a_run_is_known_by(small_dataset):
    stage = RetrievalStage(config=RETRIEVAL)
    whole, half = (
        stage_inputs(stage, SCHEMA, small_dataset, 0, "", training) for training in (TrainingConfig(), BFLOAT16)
    )
    assert half == whole | {"precision": "mixed_bfloat16"}


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_products_round_their_factors_and_nothing_else(dtype):
    generator = np.random.default_rng(0)
    left, right = generator.normal(size=(2, 4, 3, 5)).astype(np.float32)
    rounded = [tf.cast(tf.cast(side, dtype), tf.float32) for side in (left, right)]
    exact = tf.matmul(*rounded, transpose_b=True)
    with products_in(dtype):
        found = matmul(left, right, transpose_b=True)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, exact, rtol=2.0**-8, atol=2.0**-8)
    np.testing.assert_array_equal(matmul(left, right, transpose_b=True), tf.matmul(left, right, transpose_b=True))
    dense = Dense(2, activation="gelu")
    whole = dense(left)
    with products_in(dtype):
        half = dense(left)
    assert half.shape == whole.shape == (4, 3, 2)
    assert (half.numpy() != whole.numpy()).any()
    np.testing.assert_allclose(half, whole, atol=2.0**-5)
