"""Hidden ids of candidates: which vector and bias take their place, and where the gradient goes."""

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from tests.trainer.small_dataset import NUM_ITEMS, SCHEMA
from trainer.config.retrieval import RetrievalConfig
from trainer.data.catalogue import load_catalogue
from trainer.retrieval.model import TwoTowerModel

RATE, UNKNOWN, REPEATS = 0.25, 1, 100


@pytest.fixture(scope="module")
def model(small_dataset: DatasetLayout) -> TwoTowerModel:
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    config = RetrievalConfig(dimension=4, id_dropout=RATE)
    model = TwoTowerModel(config, encoder, load_catalogue(small_dataset, encoder), seed=0)
    draw = np.random.default_rng(0)
    for weight in model.trainable_variables:  # what starts at zero shall count too
        weight.assign(draw.normal(size=weight.shape).astype(np.float32))
    return model


@pytest.fixture(scope="module")
def items(small_dataset: DatasetLayout) -> dict[str, tf.Tensor]:
    """Every item, a hundred times."""
    catalogue = load_catalogue(small_dataset, SchemaEncoder(SCHEMA, small_dataset))
    return catalogue.gather(tf.tile(tf.range(NUM_ITEMS), [REPEATS]))


def hidden(items: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return items | {"item_id": tf.fill(tf.shape(items["item_id"]), UNKNOWN)}


@pytest.mark.slow
def test_a_share_of_the_candidates_is_what_an_unknown_item_with_their_features_would_be(model, items) -> None:
    tower = model.towers.pairs[0].candidate
    known, unknown, trained = tower(items), tower(hidden(items)), tower(items, training=True)
    is_hidden = np.isclose(trained, unknown, atol=1e-6).all(axis=1)
    assert np.isclose(trained, known, atol=1e-6).all(axis=1).tolist() == (~is_hidden).tolist()
    # 1,200 draws: a standard deviation of 0.0125.
    assert is_hidden.mean() == pytest.approx(RATE, abs=0.05)
    # The features and the unknown item's own bias, the last component, count.
    bias = tower.bias.numpy()
    np.testing.assert_allclose(trained.numpy()[is_hidden, -1], bias[UNKNOWN])
    assert len(np.unique(unknown.numpy().round(5), axis=0)) == 2  # odd and even


def test_the_step_alone_decides_who_is_hidden(model, items) -> None:
    tower = model.towers.pairs[0].candidate
    first, again = tower(items, training=True), tower(items, training=True)
    np.testing.assert_array_equal(first, again)
    model.step.assign_add(1)
    assert (tower(items, training=True).numpy() != first.numpy()).any()


def test_the_gradient_of_hidden_candidates_goes_to_the_unknown_item(model, items) -> None:
    tower = model.towers.pairs[0].candidate
    is_hidden = np.isclose(tower(items, training=True), tower(hidden(items)), atol=1e-6).all(axis=1)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tower(items, training=True)[:, -1])
    found = tf.convert_to_tensor(tape.gradient(total, tower.bias)).numpy()
    expected = np.zeros(len(found))
    np.add.at(expected, np.where(is_hidden, UNKNOWN, items["item_id"].numpy()), 1.0)
    np.testing.assert_allclose(found, expected)
    assert expected[UNKNOWN] > 0


def test_where_unknown_ids_have_several_buckets_all_of_them_are_trained(model, items, monkeypatch) -> None:
    """As if the first three ids after that of missing ones were buckets."""
    tower = model.towers.pairs[0].candidate
    monkeypatch.setattr(tower, "first_index", UNKNOWN + 3)
    is_known = np.isclose(tower(items, training=True)[:, -1], tf.gather(tower.bias, items["item_id"]), atol=1e-6)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tower(items, training=True)[:, -1])
    found = tf.convert_to_tensor(tape.gradient(total, tower.bias)).numpy()
    buckets = UNKNOWN + items["item_id"].numpy() % 3
    expected = np.zeros(len(found))
    np.add.at(expected, np.where(is_known, items["item_id"].numpy(), buckets), 1.0)
    np.testing.assert_allclose(found, expected)
    assert (expected[UNKNOWN : UNKNOWN + 3] > 0).all()
