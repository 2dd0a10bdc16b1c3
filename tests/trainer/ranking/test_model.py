"""The ranking model: tasks share the network, candidates share their query."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.encoder import Tensors
from features.encoding.schema_encoder import SchemaEncoder
from features.spec.tasks import Task
from tests.trainer.small_dataset import SCHEMA
from trainer.config.ranking import MULTI_TASKS, NETWORKS, MLPConfig, RankingConfig, TaskTraining
from trainer.data.catalogue import EncodedCatalogue, load_catalogue
from trainer.data.labelled_pairs import LabelMoments
from trainer.ranking.model import RankingModel

TWO_TASKS = replace(SCHEMA, task=(Task(name="liked"), Task(name="rating", type="regression")))


@pytest.fixture(scope="module")
def encoder(small_dataset: DatasetLayout) -> SchemaEncoder:
    return SchemaEncoder(TWO_TASKS, small_dataset)


@pytest.fixture(scope="module")
def candidates(small_dataset: DatasetLayout, encoder: SchemaEncoder) -> EncodedCatalogue:
    return load_catalogue(small_dataset, encoder)


def queries(encoder: SchemaEncoder) -> Tensors:
    raw = {
        "user_id": tf.constant(["u1", "u2"]),
        "history": tf.constant([["i1", "i3"], ["i4", ""]]),
        "timestamp": tf.constant([9, 99], tf.int64),
    }
    return encoder.encode_query(raw)


def model_of(encoder: SchemaEncoder, candidates: EncodedCatalogue, config: RankingConfig | None = None, **more: object):
    tf.keras.utils.set_random_seed(1)
    model = RankingModel(config or RankingConfig(dimension=4), encoder, candidates, seed=1, **more)  # type: ignore[arg-type]
    for number, weight in enumerate(model.trainable_variables):  # last layers and numbers start from zero
        weight.assign(tf.random.stateless_normal(weight.shape, [number, 1]))
    return model


def batch_of(encoder: SchemaEncoder, labels: list[list[float]]) -> dict:
    return {
        "query": queries(encoder),
        "candidate_row": tf.constant([3, 5]),
        "pair": {},
        "labels": tf.constant(labels),
        "weight": tf.ones(2),
    }


@pytest.mark.parametrize("kind", NETWORKS.names)
@pytest.mark.parametrize("sharing", MULTI_TASKS.names)
def test_candidates_of_one_query_are_scored_as_if_each_had_a_query_of_its_own(
    encoder: SchemaEncoder, candidates: EncodedCatalogue, kind: str, sharing: str
) -> None:
    kinds = {"network": NETWORKS.options(kind)(), "multi_task": MULTI_TASKS.options(sharing)(tower=(4,))}
    model = model_of(encoder, candidates, RankingConfig(dimension=4, **kinds))
    query, query_of_pair = queries(encoder), tf.constant([0, 1, 1, 0])
    items = candidates.gather(tf.constant([0, 7, 3, 9]))
    shared = model(query, items, query_of_pair)
    alone = model({name: tf.gather(values, query_of_pair) for name, values in query.items()}, items)
    assert shared.keys() == alone.keys() == {"liked", "rating"}
    for task in shared:
        np.testing.assert_allclose(shared[task], alone[task], rtol=1e-5)
    assert len(np.unique(shared["liked"])) == 4


def test_a_task_without_labels_leaves_its_own_weights_alone(
    encoder: SchemaEncoder, candidates: EncodedCatalogue
) -> None:
    model = model_of(encoder, candidates, RankingConfig(dimension=4, embedding_decay=0.0))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch_of(encoder, [[1.0, np.nan], [0.0, np.nan]]), training=True)
    liked, rating = (model.members[0].last[name].kernel for name in ("liked", "rating"))
    of_liked, of_rating = tape.gradient(loss, [liked, rating])
    assert np.abs(of_liked).max() > 0
    assert np.abs(of_rating).max() == 0


@pytest.mark.slow
def test_loss_is_the_sum_of_the_tasks_by_weight(encoder: SchemaEncoder, candidates: EncodedCatalogue) -> None:
    def loss(labels: list[list[float]], weight: float) -> float:
        config = RankingConfig(dimension=4, embedding_decay=0.0, task={"rating": TaskTraining(weight=weight)})
        return float(model_of(encoder, candidates, config).compute_loss(batch_of(encoder, labels)))

    liked, rating = loss([[1.0, np.nan], [0.0, np.nan]], 1.0), loss([[np.nan, 3.0], [np.nan, 4.0]], 1.0)
    assert loss([[1.0, 3.0], [0.0, 4.0]], 0.25) == pytest.approx(liked + 0.25 * rating, rel=1e-5)


def test_numbers_of_the_pair_are_features_like_any_other(encoder: SchemaEncoder, candidates: EncodedCatalogue) -> None:
    model = model_of(encoder, candidates, extra=("retrieval_score",))
    items = candidates.gather(tf.constant([3, 3]))
    query = {name: tf.gather(values, [0, 0]) for name, values in queries(encoder).items()}
    low, high = model(query, {**items, "retrieval_score": tf.constant([[0.0], [1.0]])})["liked"].numpy()
    assert low != high


@pytest.mark.slow
def test_members_differ_and_their_mean_is_the_score(encoder: SchemaEncoder, candidates: EncodedCatalogue) -> None:
    model = model_of(encoder, candidates, RankingConfig(dimension=4, members=3))
    query, items = queries(encoder), candidates.gather(tf.constant([3, 5]))
    each = [member(query, items)[0]["rating"].numpy() for member in model.members]
    assert len(np.unique(np.round(each, 5), axis=0)) == 3
    np.testing.assert_allclose(model(query, items)["rating"], np.mean(each, axis=0), rtol=1e-5)


@pytest.mark.slow
def test_each_member_learns_by_its_own_loss(encoder: SchemaEncoder, candidates: EncodedCatalogue) -> None:
    def gradient(config: RankingConfig) -> np.ndarray:
        tf.keras.utils.set_random_seed(1)
        model = RankingModel(config, encoder, candidates, seed=1)
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch_of(encoder, [[1.0, 3.0], [0.0, 4.0]]), training=True)
        return tape.gradient(loss, model.members[0].last["rating"].kernel).numpy()

    config = RankingConfig(dimension=4, network=MLPConfig(dropout=0.0))
    alone, among_two = gradient(config), gradient(replace(config, members=2))
    # The loss is the members' mean, so each has its share of the gradient, whatever the other one says.
    np.testing.assert_allclose(2 * among_two, alone, rtol=1e-4)


def test_masks_of_members_differ(encoder: SchemaEncoder, candidates: EncodedCatalogue) -> None:
    config = RankingConfig(dimension=4, members=2, network=MLPConfig(hidden=(8,), dropout=0.5))
    first, second = (
        member.sharing.network.dropout for member in RankingModel(config, encoder, candidates, seed=1).members
    )
    assert (first(tf.ones([50]), training=True).numpy() != second(tf.ones([50]), training=True).numpy()).any()


def test_a_score_starts_where_the_labels_are_and_adds_the_numbers_of_its_features(
    encoder: SchemaEncoder, candidates: EncodedCatalogue
) -> None:
    moments = [LabelMoments(mean=0.2), LabelMoments(mean=3.5, deviation=0.5)]
    model = RankingModel(RankingConfig(dimension=4, members=2), encoder, candidates, seed=1, label_moments=moments)
    query, items = queries(encoder), candidates.gather(tf.constant([3, 5]))
    predicted = model.predictions(model(query, items))
    np.testing.assert_allclose(predicted["liked"], [0.2, 0.2], rtol=1e-5)
    np.testing.assert_allclose(predicted["rating"], [3.5, 3.5], rtol=1e-5)
    for member in model.members:
        table = member.numbers["rating"]["user_id"].trainable_variables[0]
        table.assign(tf.ones_like(table))
    # One deviation of the labels more.
    np.testing.assert_allclose(model.predictions(model(query, items))["rating"], [4.0, 4.0], rtol=1e-5)
