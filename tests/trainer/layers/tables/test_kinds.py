"""Which values share what, by kind of table, with answers known from the definitions."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import tensorflow as tf

from features.encoding.encoder import Encoded
from features.errors import ConfigError
from features.serialization import structure
from tests.trainer.layers.tables.test_contract import COUNTS, NUM_INDICES, SPECIAL, options_of, table_of
from tests.trainer.small_dataset import SCHEMA
from trainer.config.ranking import RankingConfig, require_tasks
from trainer.config.retrieval import RetrievalConfig, require_features
from trainer.config.tables import (
    TABLES,
    FrequencyConfig,
    HashedConfig,
    MixedConfig,
    QuotientRemainderConfig,
    TableConfig,
)
from trainer.layers.embedding import TablesOfModel, make_tables
from trainer.layers.tables.contract import EmbeddingTable
from trainer.layers.tables.hashing import hash_rows


def gradient_rows(table: EmbeddingTable, index: int, name: str) -> set[int]:
    """The rows of a weight that an index's vector depends on."""
    weight = next(each for each in table.trainable_variables if name in each.name)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(table(tf.constant([index])))
    return set(np.flatnonzero(np.abs(tf.convert_to_tensor(tape.gradient(total, weight))).sum(axis=1)).tolist())


class TestHashing:
    def test_is_the_formula(self):
        def murmur(number: int) -> int:
            for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
                number = (number ^ number >> shift) * factor % 2**32
            return number ^ number >> 16

        indices = [0, 1, 5, 2**31 - 1]
        for function in (0, 3):
            start = function * 0x9E3779B9 % 2**32
            expected = [murmur((start + index) % 2**32) % 100 for index in indices]
            assert hash_rows(tf.constant(indices), 100, function).numpy().tolist() == expected

    def test_spreads_evenly_and_functions_are_independent(self):
        one, other = (hash_rows(tf.range(100_000), 100, number).numpy() for number in (0, 1))
        # Each row has 1,000 of 100,000, with a standard deviation of 31.5 if the draws were independent.
        assert np.abs(np.bincount(one, minlength=100) - 1000).max() < 5 * 31.5
        assert (one == other).mean() == pytest.approx(0.01, abs=0.002)


class TestHashed:
    def test_values_with_one_hash_share_a_row(self):
        table = table_of(HashedConfig(rows=7))
        hashes = hash_rows(tf.range(NUM_INDICES), 7).numpy()
        for index in (2, 17, 59):
            assert gradient_rows(table, index, "table") == {SPECIAL + hashes[index]}
        assert table.table.shape[0] == SPECIAL + 7

    def test_starts_from_the_mean_of_the_vectors_that_share_a_row(self):
        table = table_of(HashedConfig(rows=7))
        vectors = np.random.default_rng(0).normal(size=(NUM_INDICES, 4)).astype(np.float32)
        weights = COUNTS.astype(np.float32)
        table.fit(vectors, weights)
        hashes = hash_rows(tf.range(NUM_INDICES), 7).numpy()
        shared = np.flatnonzero((hashes == 3) & (np.arange(NUM_INDICES) >= SPECIAL))
        expected = np.average(vectors[shared], axis=0, weights=weights[shared])
        np.testing.assert_allclose(table.table.numpy()[SPECIAL + 3], expected, atol=1e-4)


class TestQuotientRemainder:
    @pytest.mark.parametrize("operation", ["sum", "product"])
    def test_rows_are_quotient_and_remainder_of_the_number(self, operation):
        table = table_of(QuotientRemainderConfig(rows=7, operation=operation))
        for index in (2, 9, 10, 59):
            quotient, remainder = divmod(index - SPECIAL, 7)
            assert gradient_rows(table, index, "remainders") == {SPECIAL + remainder}
            assert gradient_rows(table, index, "quotients") == {SPECIAL + quotient}
        assert table.quotients.shape[0] == SPECIAL + 9  # 58 values, seven a quotient

    def test_sum_and_product(self):
        for operation, combine in (("sum", np.add), ("product", np.multiply)):
            table = table_of(QuotientRemainderConfig(rows=7, operation=operation))
            expected = combine(table.remainders[SPECIAL + 3], table.quotients[SPECIAL + 1])
            np.testing.assert_allclose(table(tf.constant(SPECIAL + 7 + 3)), expected, rtol=1e-6)

    def test_values_with_one_quotient_differ_as_their_remainders_do(self):
        table = table_of(QuotientRemainderConfig(rows=7))
        vectors = table.all_vectors().numpy()[SPECIAL:]
        np.testing.assert_allclose(vectors[1] - vectors[4], vectors[8] - vectors[11], atol=1e-6)

    def test_no_two_values_are_alike(self):
        vectors = table_of(QuotientRemainderConfig(rows=7)).all_vectors().numpy()[SPECIAL:]
        assert len(np.unique(vectors.round(5), axis=0)) == NUM_INDICES - SPECIAL


def test_multi_hash_is_the_sum_of_the_rows_of_all_hashes():
    table = table_of(options_of("multi_hash"))
    rows = np.stack([SPECIAL + hash_rows(tf.range(NUM_INDICES), 7, number).numpy() for number in range(3)])
    np.testing.assert_allclose(
        table.all_vectors().numpy()[SPECIAL:], table.table.numpy()[rows].sum(axis=0)[SPECIAL:], rtol=1e-5
    )


class TestFrequency:
    def test_frequent_values_have_rows_of_their_own(self):
        table = table_of(FrequencyConfig(min_events=5, shared_rows=3))
        own = [index for index in range(NUM_INDICES) if index < SPECIAL or COUNTS[index] >= 5]
        for row, index in enumerate(own):
            assert gradient_rows(table, index, "table") == {row}
        hashes = hash_rows(tf.range(NUM_INDICES), 3).numpy()
        for index in set(range(NUM_INDICES)) - set(own):
            assert gradient_rows(table, index, "table") == {len(own) + hashes[index]}

    def test_the_threshold_itself_is_frequent(self):
        shared = [table_of(FrequencyConfig(min_events=n, shared_rows=3)).table.shape[0] - 3 for n in (20, 21)]
        assert shared == [SPECIAL + sum(COUNTS[SPECIAL:] == 20), SPECIAL]


class TestMixed:
    def test_rare_values_are_widened(self):
        table = table_of(MixedConfig(min_events=5, width=2))
        rare = [index for index in range(SPECIAL, NUM_INDICES) if COUNTS[index] < 5]
        vectors = table.all_vectors().numpy()
        np.testing.assert_allclose(vectors[rare], table.narrow.numpy()[1:] @ table.widening.numpy(), rtol=1e-5)
        frequent = sorted(set(range(NUM_INDICES)) - set(rare))
        np.testing.assert_array_equal(vectors[frequent], table.wide.numpy())
        assert np.linalg.matrix_rank(vectors[rare]) == 2


class TestConfig:
    def test_the_history_has_no_table_of_its_own(self):
        config = RetrievalConfig(embedding={"history": HashedConfig()})
        with pytest.raises(
            ConfigError, match=r"retrieval.embedding.history.*the history shares the table of 'item_id'"
        ):
            require_features(config, SCHEMA)

    def test_frequency_is_known_of_items_alone(self):
        for config in (FrequencyConfig(), MixedConfig()):
            with pytest.raises(ConfigError, match=r"embedding.user_id.kind.*known of 'item_id' alone"):
                require_features(RetrievalConfig(embedding={"user_id": config}), SCHEMA)
            with pytest.raises(ConfigError, match=r"ranking.embedding.parity.kind"):
                require_tasks(RankingConfig(embedding={"parity": config}), SCHEMA)

    @pytest.mark.parametrize("name", ["mixed", "quotient_remainder by products"])
    def test_singular_vectors_need_sums_of_rows(self, name):
        config = RetrievalConfig(embedding={"item_id": options_of(name)}, initialisation="svd")
        with pytest.raises(ConfigError, match=r"retrieval.embedding.item_id.kind.*initialisation = \"random\""):
            require_features(config, SCHEMA)
        require_features(replace(config, initialisation="random"), SCHEMA)

    def test_options_are_checked(self):
        with pytest.raises(ConfigError, match=r"embedding.rows"):
            HashedConfig(rows=0)


@dataclass(frozen=True, kw_only=True)
class ConstantConfig(TableConfig):
    value: float = 1.0


class ConstantTable(EmbeddingTable):
    def call(self, indices: tf.Tensor) -> tf.Tensor:
        return tf.fill(tf.concat([tf.shape(indices), [self.dimension]], axis=0), self.config.value)


def test_a_kind_from_outside_the_package():
    encoded = {"item_id": Encoded(form="single", width=1, num_indices=5, table="item_id")}
    with TABLES.registered("constant", ConstantConfig, ConstantTable):
        table = {"embedding": {"item_id": {"kind": "constant", "value": 2.0}}}
        kinds = structure(table, RetrievalConfig).embedding
        common = TablesOfModel(dimension=3, stddev=0.1, seed=0, kinds=kinds)
        vectors = make_tables(encoded, frozenset(), common)["item_id"](tf.constant([4, 1]))
    np.testing.assert_array_equal(vectors, np.full([2, 3], 2.0))
