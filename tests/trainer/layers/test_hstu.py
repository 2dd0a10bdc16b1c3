import numpy as np
import pytest
import tensorflow as tf

from features.encoding.log_buckets import count_buckets, time_gaps
from trainer.config.encoders import HSTUConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.encoders.base import make_encoder
from trainer.layers.encoders.hstu import HSTUEncoder, elapsed_buckets

DIMENSION, LENGTH = 4, 5
TIMES = [1000, 1000, 1060, 5000, 90_000]


@pytest.fixture(scope="module")
def encoder() -> HSTUEncoder:
    """One block of two heads whose biases tell every distance and every bucket apart."""
    tf.keras.utils.set_random_seed(5)
    dropouts = DropoutSeries(step=tf.Variable(0, dtype=tf.int64))
    encoder = make_encoder(HSTUConfig(heads=2), DIMENSION, length=LENGTH, dropouts=dropouts)
    block = encoder.blocks[0]
    block.places.assign(-0.3 * np.arange(LENGTH + 1))
    block.times.assign(0.2 * np.arange(34))
    return encoder


def silu(values: np.ndarray) -> np.ndarray:
    return values / (1 + np.exp(-values))


def normalised(values: np.ndarray) -> np.ndarray:
    """As layer normalisations do before training, when they neither scale nor shift."""
    centred = values - values.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)


def expected_states(encoder: HSTUEncoder, vectors: np.ndarray, buckets: np.ndarray) -> np.ndarray:
    """Equations (1) to (3), entry by entry and head by head."""
    block = encoder.blocks[0]
    parts = np.split(silu(normalised(vectors) @ block.projections.kernel.numpy()), 4, axis=-1)
    gate, value, query, key = (np.stack(np.split(part, 2, axis=-1)) for part in parts)
    gathered = np.zeros_like(value)
    for head in range(2):
        for i in range(len(vectors)):
            for j in range(i + 1):
                bias = -0.3 * (i - j) + 0.2 * buckets[i, j]
                weight = silu(query[head, i] @ key[head, j] + bias) / LENGTH
                gathered[head, i] += weight * value[head, j]
    gated = normalised(np.concatenate(gathered, axis=-1)) * np.concatenate(gate, axis=-1)
    return normalised(vectors + gated @ block.output_layer.kernel.numpy())


def vectors_of(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, DIMENSION)).astype(np.float32)


def states(encoder: HSTUEncoder, vectors: np.ndarray, positions: list[int], times: list[int] | None) -> np.ndarray:
    gaps = None if times is None else time_gaps(tf.constant([times], tf.int64))
    if gaps is not None:
        gaps = tf.where(tf.constant([positions]) > 0, gaps, 0)
    return encoder.all_states(tf.constant(vectors[None]), tf.constant([positions]), False, gaps).numpy()[0]


def test_states_are_those_of_the_equations(encoder):
    vectors = vectors_of(5)
    buckets = elapsed_buckets(time_gaps(tf.constant([TIMES], tf.int64)))[0].numpy()
    found = states(encoder, vectors, [0, 1, 2, 3, 4], TIMES)
    np.testing.assert_allclose(found, expected_states(encoder, vectors, buckets), rtol=1e-4, atol=1e-5)


def test_without_times_all_entries_are_of_one_second(encoder):
    vectors = vectors_of(3)
    found = states(encoder, vectors, [0, 1, 2], None)
    np.testing.assert_allclose(found, states(encoder, vectors, [0, 1, 2], [7, 7, 7]), rtol=1e-5)
    np.testing.assert_allclose(found, expected_states(encoder, vectors, np.ones((3, 3))), rtol=1e-4, atol=1e-5)


def test_times_of_a_history_are_its_own_in_a_packed_row(encoder):
    vectors = vectors_of(5)
    packed = states(encoder, vectors, [0, 1, 0, 1, 2], TIMES)
    np.testing.assert_allclose(packed[2:], states(encoder, vectors[2:], [0, 1, 2], TIMES[2:]), atol=1e-5)
    assert np.abs(packed[2:] - states(encoder, vectors[2:], [0, 1, 2], [1060, 1061, 1062])).max() > 1e-3


@pytest.mark.parametrize("scale", [1, 60, 86_400, 10_000_000])
def test_elapsed_time_is_off_by_one_bucket_at_most(scale):
    times = 1_700_000_000 + np.cumsum(np.random.default_rng(2).integers(0, 2 * scale, (1, 40)), axis=1)
    found = elapsed_buckets(time_gaps(tf.constant(times))).numpy()
    true = count_buckets(tf.constant(times[:, :, None] - times[:, None, :])).numpy()
    later = np.tril(np.ones((40, 40), bool))[None]
    assert np.abs(found - true)[later].max() <= 1
    assert (found == true)[later].mean() > 0.5
