from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from trainer.config.encoders import ENCODERS, EncoderConfig, MeanConfig, RecencyConfig, TransformerConfig
from trainer.config.tables import FullConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.encoders.base import HistoryEncoder, make_encoder
from trainer.layers.history_embedding import HistoryEmbedding
from trainer.layers.tables.contract import TableFacts
from trainer.layers.tables.full import FullTable

LENGTH = 6


class Case(NamedTuple):
    """An encoder of some kind with a table of items."""

    encoder: HistoryEncoder
    items: HistoryEmbedding
    step: tf.Variable

    def last(self, history: list[list[int]], training: bool = False) -> tf.Tensor:
        return self.encoder(tf.constant(history), self.items, training=training)

    def states(self, items: list[list[int]], positions: list[list[int]]) -> tf.Tensor:
        return self.encoder.all_states(self.items(tf.constant(items)), tf.constant(positions), training=False)


def table_of(rows: int, seed: int) -> FullTable:
    return FullTable(FullConfig(), TableFacts(num_indices=rows, dimension=8, stddev=0.05, seed=seed))


def case_of(config: EncoderConfig) -> Case:
    tf.keras.utils.set_random_seed(3)
    step = tf.Variable(0, dtype=tf.int64)
    encoder = make_encoder(config, 8, length=LENGTH, dropouts=DropoutSeries(step=step))
    return Case(encoder, HistoryEmbedding(table_of(20, 1), {}), step)


def options(kind: str, dropout: float) -> EncoderConfig:
    """Two of whatever the kind may have several of."""
    known = ENCODERS.options(kind).__dataclass_fields__
    return ENCODERS.options(kind)(dropout=dropout, **{name: 2 for name in ("layers", "heads") if name in known})


OPTIONAL = TransformerConfig(dropout=0.5, layers=2, heads=2, positions="rotary", feed_forward="swiglu", gated=True)


@pytest.fixture(params=[*(options(kind, 0.5) for kind in ENCODERS.names), OPTIONAL], ids=[*ENCODERS.names, "optional"])
def case(request) -> Case:
    return case_of(request.param)


class TestEveryEncoder:
    def test_padding_changes_nothing(self, case):
        np.testing.assert_allclose(case.last([[3, 4, 0, 0]]), case.last([[3, 4]]), atol=1e-6)

    def test_empty_history_is_zero(self, case):
        np.testing.assert_array_equal(case.last([[0, 0, 0]]), np.zeros((1, 8)))

    @pytest.mark.slow
    def test_state_after_each_item_is_what_the_shorter_history_gives(self, case):
        items = [5, 2, 9, 7]
        states = case.states([items], [[0, 1, 2, 3]])
        for end in range(1, 5):
            np.testing.assert_allclose(states[0, end - 1], case.last([items[:end]])[0], atol=1e-5)

    def test_histories_in_one_row_do_not_see_each_other(self, case):
        packed = case.states([[5, 2, 9, 7, 3, 0]], [[0, 1, 0, 1, 2, -1]])
        np.testing.assert_allclose(packed[0, 1], case.last([[5, 2]])[0], atol=1e-5)
        np.testing.assert_allclose(packed[0, 4], case.last([[9, 7, 3]])[0], atol=1e-5)

    def test_what_is_beside_the_items_belongs_to_their_places(self, case):
        embedding = HistoryEmbedding(case.items.item_vectors, {"kinds": table_of(5, 2)})
        items, beside = tf.constant([[5, 2, 9, 7, 3, 0]]), tf.constant([[1, 2, 4, 0, 3, 0]])
        positions = tf.constant([[0, 1, 0, 1, 2, -1]])
        packed = case.encoder.all_states(embedding(items, {"kinds": beside}), positions, training=False)
        alone = case.encoder(tf.constant([[9, 7, 3, 0]]), embedding, {"kinds": tf.constant([[4, 0, 3, 0]])})
        np.testing.assert_allclose(packed[0, 4], alone[0], atol=1e-5)
        other = case.encoder(tf.constant([[9, 7, 3, 0]]), embedding, {"kinds": tf.constant([[4, 0, 1, 0]])})
        assert np.abs(other - alone).max() > 1e-3

    def test_dropout_depends_on_the_step_alone(self, case):
        first = case.last([[1, 2, 3]], training=True)
        np.testing.assert_array_equal(case.last([[1, 2, 3]], training=True), first)
        case.step.assign(1)
        assert (case.last([[1, 2, 3]], training=True).numpy() != first.numpy()).any()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENCODERS.names)
def test_trains_on_small_and_large_tables_as_it_serves(kind):
    """Small ones are multiplied as a whole in training, which must change neither the vector nor its gradient."""
    encoder, items, _ = case_of(options(kind, 0.0))
    small = items.item_vectors
    large = table_of(20 + 32 * LENGTH, 0)
    large.table[:20].assign(small.table)
    history = tf.constant([[3, 4, 3, 5, 0, 0], [2, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    outcomes = []
    for table in (small, large):
        with tf.GradientTape() as tape:
            vectors = encoder(history, HistoryEmbedding(table, {}), training=True)
            total = tf.reduce_sum(vectors * tf.range(24.0)[:, None][:3])
        outcomes.append((vectors, tf.convert_to_tensor(tape.gradient(total, table.table))[:20]))
    for one, other in zip(*outcomes, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


class TestRecencyEncoder:
    @pytest.fixture
    def halving(self) -> Case:
        """Each item weighs half of what the one after it weighs."""
        case = case_of(RecencyConfig())
        case.encoder.log_weights.assign(-np.log(2.0) * np.arange(LENGTH))
        return case

    def test_weighs_each_place_from_the_end(self, halving):
        vectors = halving.items(tf.constant([5, 2, 9])).numpy()
        expected = (vectors[0] / 4 + vectors[1] / 2 + vectors[2]) / (1 / 4 + 1 / 2 + 1)
        np.testing.assert_allclose(halving.last([[5, 2, 9, 0]])[0], expected, rtol=1e-5)

    def test_states_are_what_shorter_histories_give(self, halving):
        states = halving.states([[7, 5, 2, 9]], [[0, 0, 1, 2]])
        np.testing.assert_allclose(states[0, 3], halving.last([[5, 2, 9]])[0], rtol=1e-5)
        np.testing.assert_allclose(states[0, 2], halving.last([[5, 2]])[0], rtol=1e-5)

    def test_starts_as_the_mean(self):
        history = [[5, 2, 9, 0]]
        np.testing.assert_allclose(
            case_of(RecencyConfig()).last(history), case_of(MeanConfig()).last(history), rtol=1e-5
        )
