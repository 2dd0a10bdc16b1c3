"""Features that retrieval does not learn from although the dataset has them."""

import re
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from features.errors import ConfigError
from features.spec.ids import IdFeature
from tests.trainer.retrieval.test_model import ENSEMBLE, make_model, query
from tests.trainer.small_dataset import SCHEMA
from trainer.config.retrieval import RetrievalConfig, require_features
from trainer.config.tables import FullConfig


@pytest.mark.slow
def test_a_feature_that_is_left_out_moves_nothing(small_dataset):
    """Neither the query, nor the items, nor the items in a history."""
    everything = make_model(small_dataset)
    model = make_model(small_dataset, replace(ENSEMBLE, leave_out=("user_id", "timestamp", "parity")))
    others = query() | {"user_id": tf.constant([1, 0, 5]), "timestamp": tf.constant([[4], [5], [6]])}
    assert np.abs(everything.towers.query_tower(query()) - everything.towers.query_tower(others)).max() > 0.01
    np.testing.assert_array_equal(model.towers.query_tower(query()), model.towers.query_tower(others))
    items = {"item_id": tf.constant([3, 4]), "parity": tf.constant([[1, 0, 0], [2, 0, 0]])}
    other_items = items | {"parity": tf.constant([[2, 1, 0], [0, 0, 0]])}
    assert (
        np.abs(everything.towers.candidate_tower(items) - everything.towers.candidate_tower(other_items)).max() > 0.01
    )
    np.testing.assert_array_equal(model.towers.candidate_tower(items), model.towers.candidate_tower(other_items))
    names = {weight.name for weight in model.trainable_variables}
    assert not any("parity" in name or "user_id" in name for name in names)


@pytest.mark.parametrize("names", [("history",), ("item_id",), ("colour",), ("user_id", "colour")])
def test_what_cannot_be_left_out_is_refused(names):
    expected = "names of features that the models learn from: user_id, timestamp, parity"
    with pytest.raises(ConfigError, match=rf"retrieval\.leave_out = {re.escape(repr(names))}: expected {expected}"):
        require_features(RetrievalConfig(leave_out=names), SCHEMA)


def test_something_is_left_to_learn_from():
    schema = replace(SCHEMA, query=(IdFeature(name="user_id"),))
    with pytest.raises(ConfigError, match="leave a query feature to learn from"):
        require_features(RetrievalConfig(leave_out=("user_id",)), schema)


def test_a_table_of_what_is_left_out_is_refused():
    config = RetrievalConfig(leave_out=("user_id",), embedding={"user_id": FullConfig()})
    with pytest.raises(ConfigError, match=r"retrieval\.leave_out = .*no 'user_id'.*\[retrieval\.embedding\.user_id\]"):
        require_features(config, SCHEMA)
    require_features(replace(config, leave_out=("parity",)), SCHEMA)
