import numpy as np
import pytest
import tensorflow as tf

from trainer.config.negatives import (
    AllConfig,
    CrossBatchConfig,
    InBatchConfig,
    MixedConfig,
    NegativesConfig,
    PopularConfig,
    UniformConfig,
)
from trainer.retrieval.negatives.base import NegativeSource, make_source

STEP = tf.constant(3, tf.int64)


def source_of(config: NegativesConfig, frequency: list[int] | np.ndarray) -> NegativeSource:
    return make_source(config, np.asarray(frequency), 1)


def test_uniform_draws_are_distinct_ascending_and_repeatable():
    source = source_of(UniformConfig(num_negatives=10), np.ones(103))
    rows = source.draw(tf.constant([0]), STEP).rows.numpy()
    assert (np.diff(rows) > 0).all()
    assert rows.min() >= 0
    assert rows.max() < 103
    np.testing.assert_array_equal(rows, source.draw(tf.constant([5]), STEP).rows)
    assert (rows != source.draw(tf.constant([0]), STEP + 1).rows.numpy()).any()


FREQUENCY = np.arange(50)[::-1] ** 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        UniformConfig(num_negatives=5),
        PopularConfig(num_negatives=5),
        InBatchConfig(),
        MixedConfig(num_negatives=5),
        CrossBatchConfig(memory=20),
    ],
    ids=["uniform", "popular", "in_batch", "mixed", "cross_batch"],
)
def test_weights_make_the_sum_of_exponentials_unbiased(config):
    source = source_of(config, FREQUENCY + 1)
    generator = np.random.default_rng(0)
    scores = generator.normal(size=50).astype(np.float32)
    share = (FREQUENCY + 1) / (FREQUENCY + 1).sum()
    draw = tf.function(source.draw, autograph=False)
    estimates = []
    for step in range(500):
        positives = tf.constant(generator.choice(50, 8, p=share), tf.int32)
        rows, log_weights = draw(positives, tf.constant(step, tf.int64))
        assert (np.diff(rows) > 0).all()
        estimates.append(np.exp(scores[rows.numpy()] + log_weights.numpy()).sum())
    assert abs(np.mean(estimates) / np.exp(scores).sum() - 1) < 5 * np.std(estimates) / np.mean(estimates) / 500**0.5


def test_in_batch_items_weigh_one_over_their_expected_number():
    source = source_of(InBatchConfig(), [6, 3, 1, 0])
    rows, log_weights = source.draw(tf.constant([2, 0, 0, 1, 0]), STEP)
    assert rows.numpy().tolist() == [0, 1, 2]
    np.testing.assert_allclose(np.exp(log_weights), [3 / (5 * 0.6), 1 / (5 * 0.3), 1 / (5 * 0.1)], rtol=1e-5)


def test_the_memory_holds_the_last_positives_of_earlier_batches():
    source = source_of(CrossBatchConfig(memory=3), [6, 3, 1, 1])
    draws = [source.draw(tf.constant(rows), STEP).rows.numpy().tolist() for rows in ([3, 3], [0], [1], [0], [2])]
    # The memory before each batch: nothing, then 3 3, then 3 3 0, then 3 0 1, then 0 1 0.
    assert draws == [[3], [0, 3], [0, 1, 3], [0, 1, 3], [0, 1, 2]]
    log_weights = source.draw(tf.constant([2, 2]), STEP).log_weights
    # The memory is now 1 0 2, so the batch makes it one 0, one 1 and three 2 of five.
    np.testing.assert_allclose(np.exp(log_weights), [1 / (5 * 6 / 11), 1 / (5 * 3 / 11), 3 / (5 * 1 / 11)], rtol=1e-5)


@pytest.mark.parametrize("config", [AllConfig(), UniformConfig(num_negatives=9), PopularConfig(num_negatives=8)])
def test_a_draw_as_large_as_the_catalogue_is_the_catalogue(config):
    rows, log_weights = source_of(config, np.arange(8)).draw(tf.constant([1]), STEP)
    assert rows.numpy().tolist() == list(range(8))
    assert not log_weights.numpy().any()
