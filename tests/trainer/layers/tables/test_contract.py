"""What holds of every kind of embedding table."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.config.tables import TABLES, TableConfig
from trainer.layers.tables.contract import EmbeddingTable, TableFacts

# Indices 0 and 1 are special, as with one bucket for unknown values; every third other one is frequent.
NUM_INDICES, DIMENSION, SPECIAL = 60, 4, 2
COUNTS = np.array([0, 7, *(20 if index % 3 == 0 else 1 for index in range(2, NUM_INDICES))])
KINDS = {
    "full": {},
    "hashed": {"rows": 7},
    "quotient_remainder": {"rows": 7},
    "quotient_remainder by products": {"rows": 7, "operation": "product"},
    "multi_hash": {"rows": 7, "hashes": 3},
    "frequency": {"min_events": 5, "shared_rows": 3},
    "mixed": {"min_events": 5, "width": 2},
}


def options_of(name: str) -> TableConfig:
    return TABLES.options(name.split()[0])(**KINDS[name])


def table_of(config: TableConfig, seed: int = 0, stddev: float = 0.5) -> EmbeddingTable:
    facts = TableFacts(
        num_indices=NUM_INDICES, dimension=DIMENSION, num_special=SPECIAL, stddev=stddev, seed=seed, counts=COUNTS
    )
    return TABLES.implementation(config)(config, facts)


def test_every_kind_is_here():
    assert {name.split()[0] for name in KINDS} == set(TABLES.names)


@pytest.fixture(params=KINDS, scope="module")
def table(request: pytest.FixtureRequest) -> EmbeddingTable:
    return table_of(options_of(request.param))


def test_looks_up_any_shape(table):
    every = table.all_vectors().numpy()
    assert every.shape == (NUM_INDICES, DIMENSION)
    indices = np.array([[0, 1, 59], [5, 5, 7]])
    np.testing.assert_array_equal(table(tf.constant(indices, tf.int32)), every[indices])
    assert table(tf.zeros([0, 3], tf.int32)).shape == (0, 3, DIMENSION)


def test_special_indices_share_nothing(table):
    """A step that moves all other vectors leaves those of missing and unknown values alone, and the other way round."""
    for moved, others in ((range(SPECIAL), range(SPECIAL, NUM_INDICES)), (range(SPECIAL, NUM_INDICES), range(SPECIAL))):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(table(tf.constant(moved, tf.int32)))
        by_name = {each.name: each.numpy() for each in table.trainable_variables}
        before = table.all_vectors().numpy()
        gradients = tape.gradient(total, table.trainable_variables)
        for weight, gradient in zip(table.trainable_variables, gradients, strict=True):
            if gradient is not None and "widening" not in weight.name:
                weight.assign_sub(tf.convert_to_tensor(gradient))
        np.testing.assert_array_equal(table.all_vectors().numpy()[list(others)], before[list(others)])
        assert (table.all_vectors().numpy()[list(moved)] != before[list(moved)]).all()
        for weight in table.trainable_variables:
            weight.assign(by_name[weight.name])


@pytest.mark.parametrize("training", [False, True])
def test_weighted_sums_are_those_of_the_vectors(table, training):
    """Over small tables they are made in another way in training; neither the sum nor the gradient may differ."""
    indices = tf.constant([[3, 4, 3, 0], [59, 1, 0, 0], [0, 0, 0, 0]])
    weights = tf.constant([[0.5, 2.0, 1.0, 0.0], [1.0, 3.0, 0.0, 0.0], [0.0] * 4])
    outcomes = []
    for sums in (
        lambda: table.weighted_sum(indices, weights, training=training),
        lambda: tf.einsum("bw,bwd->bd", weights, table(indices)),
    ):
        with tf.GradientTape() as tape:
            values = sums()
            total = tf.reduce_sum(values * tf.range(12.0)[:, None][:3])
        gradients = tape.gradient(total, table.trainable_variables)
        outcomes.append([values, *map(tf.convert_to_tensor, gradients)])
    for one, other in zip(*outcomes, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_a_table_with_another_seed_takes_its_weights(name):
    """As a restored model does, which is made with seed 0 whatever the training's was."""
    one, other = table_of(options_of(name), seed=0), table_of(options_of(name), seed=9)
    assert not np.allclose(one.all_vectors(), other.all_vectors())
    for new, old in zip(other.variables, one.variables, strict=True):
        new.assign(old)
    np.testing.assert_array_equal(one.all_vectors(), other.all_vectors())


@pytest.mark.parametrize("name", KINDS)
def test_starts_from_noise_of_the_given_size_or_from_zero(name):
    special, others = np.split(table_of(options_of(name)).all_vectors().numpy(), [SPECIAL])
    assert 0.2 < others.std() < 1.0  # 0.5, from as few as three shared rows
    assert others.any(axis=1).all()
    assert not special.any()
    assert not table_of(options_of(name), stddev=0.0).all_vectors().numpy().any()


def test_special_rows_of_a_table_in_shards_start_from_zero_too():
    """As over parameter servers: only the shard that the special rows lie in begins with zeros."""
    noise = TableFacts(num_indices=8, dimension=4, num_special=2, stddev=0.5).noise()
    shards = [noise((4, 4), partition_shape=(4, 4), partition_offset=(start, 0)).numpy() for start in (0, 4)]
    np.testing.assert_array_equal(np.concatenate(shards).any(axis=1), [False] * 2 + [True] * 6)


@pytest.mark.parametrize("name", [name for name in KINDS if options_of(name).is_linear])
def test_fits_vectors_that_it_can_represent(name):
    target = table_of(options_of(name), seed=5).all_vectors().numpy()
    table = table_of(options_of(name))
    weights = np.where(np.arange(NUM_INDICES) < SPECIAL, 0, COUNTS).astype(np.float32)
    before = table.all_vectors().numpy()
    table.fit(target, weights)
    np.testing.assert_allclose(table.all_vectors().numpy()[SPECIAL:], target[SPECIAL:], atol=1e-4)
    np.testing.assert_array_equal(table.all_vectors().numpy()[:SPECIAL], before[:SPECIAL])
