"""Contributions to the ranking model's log chances."""

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from tests.trainer.small_dataset import SCHEMA
from trainer.config.ranking import NETWORKS, MLPConfig, RankingConfig
from trainer.data.catalogue import load_catalogue
from trainer.ranking.explanation import Pairs, explain_pairs, explained_features
from trainer.ranking.model import RankingModel

ROWS = np.array([[0, 7, 3, -1], [2, 5, 9, 11]])


@pytest.fixture(scope="module")
def pairs(small_dataset: DatasetLayout) -> tuple[SchemaEncoder, Pairs]:
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    query = encoder.encode_query(
        {
            "user_id": tf.constant(["u1", "u2"]),
            "history": tf.constant([["i1", "i3"], ["", ""]]),
            "timestamp": tf.constant([9, 99], tf.int64),
        }
    )
    candidate = load_catalogue(small_dataset, encoder).gather(tf.constant(np.maximum(ROWS, 0).ravel()))
    places = tf.constant([[1, 3], [2, 0]])
    return encoder, Pairs(query=query, candidate=candidate, is_item=tf.constant(ROWS >= 0), places=places)


def model_of(encoder: SchemaEncoder, small_dataset: DatasetLayout, config: RankingConfig) -> RankingModel:
    tf.keras.utils.set_random_seed(1)
    model = RankingModel(config, encoder, load_catalogue(small_dataset, encoder), seed=1)
    for number, weight in enumerate(model.trainable_variables):
        weight.assign(0.3 * tf.random.stateless_normal(weight.shape, [number, 1]))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS.names)
def test_contributions_sum_up_to_the_log_chance_less_that_of_the_average_candidate(
    small_dataset: DatasetLayout, pairs: tuple[SchemaEncoder, Pairs], kind: str
) -> None:
    encoder, asked = pairs
    config = RankingConfig(dimension=4, members=2, network=NETWORKS.options(kind)())
    model, head = model_of(encoder, small_dataset, config), "label"
    found = explain_pairs(model, asked)
    scores = model(asked.query, asked.candidate, tf.constant([0] * 4 + [1] * 4))[head]
    log_chances = tf.gather(tf.reshape(tf.math.log_sigmoid(scores), ROWS.shape), asked.places, batch_dims=1).numpy()
    total = (found.baseline + tf.reduce_sum(found.features, axis=-1)).numpy()
    is_item = np.take_along_axis(ROWS >= 0, asked.places.numpy(), axis=1)
    np.testing.assert_allclose(total[is_item], log_chances[is_item], atol=0.02)
    np.testing.assert_array_equal(found.features.numpy()[~is_item], 0.0)
    assert found.features.shape[-1] == len(explained_features(model)) == len(SCHEMA.candidate)


def test_a_model_of_numbers_alone_adds_them(small_dataset: DatasetLayout, pairs: tuple[SchemaEncoder, Pairs]) -> None:
    encoder, asked = pairs
    model = model_of(encoder, small_dataset, RankingConfig(dimension=4, network=MLPConfig()))
    member = model.members[0]
    member.last["label"].kernel.assign(tf.zeros_like(member.last["label"].kernel))
    numbers = member.embed(member.numbers["label"], asked.query, asked.candidate, tf.constant([0] * 4 + [1] * 4))
    found = explain_pairs(model, asked)
    for place, name in enumerate(explained_features(model)):
        values = numbers[name].numpy().reshape(ROWS.shape)[1]
        share = found.features.numpy()[1, :, place] / found.features.numpy()[1].sum(axis=1)
        all_numbers = sum(numbers[each].numpy().reshape(ROWS.shape)[1] for each in explained_features(model))
        expected = (values - values.mean()) / (all_numbers - all_numbers.mean())
        np.testing.assert_allclose(share, expected[asked.places.numpy()[1]], rtol=1e-3)
