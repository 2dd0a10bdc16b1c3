from typing import get_args

import numpy as np
import pytest
import tensorflow as tf

from trainer.config.retrieval import EncoderConfig, EncoderKind
from trainer.layers.embedding import EmbeddingTable
from trainer.layers.encoders import ENCODERS, HistoryEncoder

LENGTH = 6


@pytest.fixture(params=get_args(EncoderKind))
def encoder(request) -> HistoryEncoder:
    tf.keras.utils.set_random_seed(3)
    table = EmbeddingTable(20, 8, tf.keras.initializers.RandomNormal(seed=1))
    step = tf.Variable(0, dtype=tf.int64)
    config = EncoderConfig(kind=request.param, layers=2, heads=2, dropout=0.5)
    return ENCODERS[request.param](config, table, length=LENGTH, step=step)


class TestEveryEncoder:
    def test_padding_changes_nothing(self, encoder):
        short = encoder(tf.constant([[3, 4]]))
        np.testing.assert_allclose(encoder(tf.constant([[3, 4, 0, 0]])), short, atol=1e-6)

    def test_empty_history_is_zero(self, encoder):
        np.testing.assert_array_equal(encoder(tf.constant([[0, 0, 0]])), np.zeros((1, 8)))

    def test_state_after_each_item_is_what_the_shorter_history_gives(self, encoder):
        items = [5, 2, 9, 7]
        states = encoder.all_states(tf.constant([items]), tf.constant([[0, 1, 2, 3]]), training=False)
        for end in range(1, 5):
            alone = encoder(tf.constant([items[:end]]))
            np.testing.assert_allclose(states[0, end - 1], alone[0], atol=1e-5)

    def test_histories_in_one_row_do_not_see_each_other(self, encoder):
        packed = encoder.all_states(
            tf.constant([[5, 2, 9, 7, 3, 0]]), tf.constant([[0, 1, 0, 1, 2, -1]]), training=False
        )
        np.testing.assert_allclose(packed[0, 1], encoder(tf.constant([[5, 2]]))[0], atol=1e-5)
        np.testing.assert_allclose(packed[0, 4], encoder(tf.constant([[9, 7, 3]]))[0], atol=1e-5)

    def test_what_is_beside_the_items_belongs_to_their_places(self, encoder):
        kinds = EmbeddingTable(5, 8, tf.keras.initializers.RandomNormal(seed=2))
        encoder.companions = {"kinds": kinds}
        items, beside = tf.constant([[5, 2, 9, 7, 3, 0]]), tf.constant([[1, 2, 4, 0, 3, 0]])
        packed = encoder.all_states(items, tf.constant([[0, 1, 0, 1, 2, -1]]), False, {"kinds": beside})
        alone = encoder(tf.constant([[9, 7, 3, 0]]), {"kinds": tf.constant([[4, 0, 3, 0]])})
        np.testing.assert_allclose(packed[0, 4], alone[0], atol=1e-5)
        other = encoder(tf.constant([[9, 7, 3, 0]]), {"kinds": tf.constant([[4, 0, 1, 0]])})
        assert np.abs(other - alone).max() > 1e-3

    def test_trains_on_small_and_large_tables_as_it_serves(self, encoder):
        """Small ones are multiplied as a whole in training, which must change neither the vector nor its gradient."""
        encoder.config = EncoderConfig(kind=encoder.config.kind, layers=2, heads=2)
        encoder.input_dropout.rate = 0.0
        large = EmbeddingTable(20 + 32 * LENGTH, 8, tf.keras.initializers.Zeros())
        large.table[:20].assign(encoder.table.table)
        small, history = encoder.table, tf.constant([[3, 4, 3, 5, 0, 0], [2, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
        outcomes = []
        for table in (small, large):
            encoder.table = encoder.item_vectors = table
            with tf.GradientTape() as tape:
                vectors = encoder.call(history, training=True)
                total = tf.reduce_sum(vectors * tf.range(24.0)[:, None][:3])
            outcomes.append((vectors, tf.convert_to_tensor(tape.gradient(total, table.table))[:20]))
        for one, other in zip(*outcomes, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)

    def test_dropout_depends_on_the_step_alone(self, encoder):
        history = tf.constant([[1, 2, 3]])
        first = encoder(history, training=True)
        np.testing.assert_array_equal(encoder(history, training=True), first)
        encoder.input_dropout.step.assign(1)
        assert (encoder(history, training=True).numpy() != first.numpy()).any()


class TestRecencyEncoder:
    @pytest.fixture
    def halving(self) -> HistoryEncoder:
        """Each item weighs half of what the one after it weighs."""
        table = EmbeddingTable(20, 8, tf.keras.initializers.RandomNormal(seed=1))
        config = EncoderConfig(kind="recency")
        encoder = ENCODERS["recency"](config, table, length=LENGTH, step=tf.Variable(0, dtype=tf.int64))
        encoder.log_weights.assign(-np.log(2.0) * np.arange(LENGTH))
        return encoder

    def test_weighs_each_place_from_the_end(self, halving):
        vectors = halving.table(tf.constant([5, 2, 9])).numpy()
        expected = (vectors[0] / 4 + vectors[1] / 2 + vectors[2]) / (1 / 4 + 1 / 2 + 1)
        np.testing.assert_allclose(halving(tf.constant([[5, 2, 9, 0]]))[0], expected, rtol=1e-5)

    def test_states_are_what_shorter_histories_give(self, halving):
        states = halving.all_states(tf.constant([[7, 5, 2, 9]]), tf.constant([[0, 0, 1, 2]]), training=False)
        np.testing.assert_allclose(states[0, 3], halving(tf.constant([[5, 2, 9]]))[0], rtol=1e-5)
        np.testing.assert_allclose(states[0, 2], halving(tf.constant([[5, 2]]))[0], rtol=1e-5)

    def test_starts_as_the_mean(self, halving):
        halving.log_weights.assign(tf.zeros(LENGTH))
        mean = ENCODERS["mean"](halving.config, halving.table, length=LENGTH, step=halving.input_dropout.step)
        history = tf.constant([[5, 2, 9, 0]])
        np.testing.assert_allclose(halving(history), mean(history), rtol=1e-5)
