"""Contributions to the list ranker's scores: complete, and known where the ranker is linear."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.cascade.explanation import explain_list, parts_of_largest
from trainer.cascade.features import CandidateFeatures, Query
from trainer.cascade.model import ListRanker
from trainer.cascade.similarities import SameItem, VectorSimilarity
from trainer.config.cascade import ListRankerConfig
from trainer.layers.attribution import Explanation

NUM_ITEMS = 9
RNG = np.random.default_rng(7)
FEATURES = CandidateFeatures(
    {"same": SameItem(), "vector": VectorSimilarity(RNG.normal(size=(NUM_ITEMS, 3)).astype(np.float32), "vector")},
    {"count": RNG.random(NUM_ITEMS).astype(np.float32)},
)
OVER_HISTORY = [group in ("same", "vector") for group in FEATURES.groups]


def query_of(history: list[list[int]], candidates: list[list[int]]) -> Query:
    scores = np.linspace(2.0, 0.5, np.size(candidates)).reshape(np.shape(candidates))
    return Query(
        history=tf.constant(history, tf.int32, shape=(len(history), len(history[0]))),
        candidates=tf.constant(candidates, tf.int32),
        scores=tf.constant(scores, tf.float32),
    )


QUERIES = {
    "usual": query_of([[1, 2, 2, 5], [7, -1, 4, -1]], [[2, 3, 0, 5, 8], [4, 1, 6, 0, 2]]),
    "empty history": query_of([[-1, -1]], [[2, 3, 0, 5, 8]]),
    "no place for a history": query_of([[]], [[2, 3, 0]]),
    "one candidate": query_of([[1, 2]], [[2, -1, -1]]),
    "no candidate": query_of([[1, 2]], [[-1, -1, -1]]),
    "one known item": query_of([[-1, 3]], [[3, 3 - 1, -1]]),
}


def ranker_of(**config: object) -> ListRanker:
    ranker = ListRanker(ListRankerConfig(members=2, **config), len(FEATURES.names), seed=3)  # type: ignore[arg-type]  # options of any type
    for number, weight in enumerate(ranker.trainable_variables):
        weight.assign(0.3 * tf.random.stateless_normal(weight.shape, [number, 5]))
    # So large that no feature is clipped.
    ranker.standardisation.deviation.assign(4.0 + RNG.random(len(FEATURES.names)))
    ranker.standardisation.mean.assign(RNG.normal(size=len(FEATURES.names)))
    return ranker


def explained(ranker: ListRanker, query: Query) -> Explanation:
    """Every candidate."""
    places = tf.tile(tf.range(query.candidates.shape[1])[None], [query.candidates.shape[0], 1])
    return explain_list(ranker, FEATURES, query, places)


@pytest.mark.parametrize("hidden", [(), (16, 8)])
@pytest.mark.parametrize("name", QUERIES)
def test_contributions_sum_up_to_the_log_chance_less_that_of_the_average_candidate(
    name: str, hidden: tuple[int, ...]
) -> None:
    query, ranker = QUERIES[name], ranker_of(hidden=hidden)
    found, is_item = explained(ranker, query), query.candidates.numpy() >= 0
    log_chances = tf.nn.log_softmax(ranker(FEATURES(query), is_item), axis=1).numpy()
    total = (found.baseline + tf.reduce_sum(found.features, axis=-1)).numpy()
    np.testing.assert_allclose(total[is_item], log_chances[is_item], atol=1e-4 if not hidden else 0.05)
    of_history = tf.reduce_sum(tf.boolean_mask(found.features, OVER_HISTORY, axis=2), axis=-1)
    np.testing.assert_allclose(tf.reduce_sum(found.history, axis=-1), of_history, atol=1e-4)
    np.testing.assert_array_equal(found.features.numpy()[~is_item], 0.0)
    for part in (found.baseline, found.features, found.history):
        assert np.isfinite(part.numpy()).all()


def test_a_linear_ranker_adds_its_weights_times_what_is_above_the_mean() -> None:
    query, ranker = QUERIES["usual"], ranker_of(hidden=())
    values = FEATURES(query).numpy()
    above = values - values.mean(axis=1, keepdims=True)
    deviation = ranker.standardisation.deviation.numpy()
    weights = np.mean([(each.deep.kernel + each.wide.kernel).numpy()[:, 0] for each in ranker.members], axis=0)
    overall, within = np.split(weights, 2)
    expected = above * (overall / deviation + within / np.sqrt(values.var(axis=1, keepdims=True) + 1e-6))
    np.testing.assert_allclose(explained(ranker, query).features, expected, atol=1e-4)


def test_what_is_clipped_is_credited_up_to_there() -> None:
    query, ranker = QUERIES["usual"], ranker_of(hidden=())
    ranker.standardisation.deviation.assign(tf.fill([len(FEATURES.names)], 0.1))
    log_chances = tf.nn.log_softmax(ranker(FEATURES(query), query.candidates >= 0), axis=1)
    found = explained(ranker, query)
    total = found.baseline + tf.reduce_sum(found.features, axis=-1)
    # The midpoint rule misses at most half a step of each clipped feature.
    np.testing.assert_allclose(total, log_chances, atol=0.3)


def test_what_the_user_had_speaks_for_itself_alone() -> None:
    ranker = ranker_of(hidden=())
    for member in ranker.members:
        member.deep.kernel.assign(tf.zeros_like(member.deep.kernel))
        weights = np.zeros((2 * len(FEATURES.names), 1), np.float32)
        weights[FEATURES.names.index("same_sum")] = 1.0
        member.wide.kernel.assign(weights)
    ranker.standardisation.deviation.assign(tf.ones_like(ranker.standardisation.deviation))
    ranker.standardisation.mean.assign(tf.zeros_like(ranker.standardisation.mean))
    found = explained(ranker, QUERIES["usual"]).history.numpy()[0]
    # Of five candidates one is item 2, which the history holds twice, and one is item 5; nobody is item 1.
    share = 1 / 5
    np.testing.assert_allclose(found[0], [0.0, 1 - share, 1 - share, -share], atol=1e-6)
    np.testing.assert_allclose(found[3], [0.0, -share, -share, 1 - share], atol=1e-6)
    np.testing.assert_allclose(found[1], [0.0, -share, -share, -share], atol=1e-6)


def test_the_largest_values_go_to_their_entries_and_equal_entries_share() -> None:
    pairs = tf.constant([[[4.0, 2.0, -1.0], [1.0, 2.0, -2.0], [3.0, 2.0, 0.0], [0.5, 7.0, 0.0]]])
    np.testing.assert_allclose(
        parts_of_largest(pairs, 1)[0], [[4.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 7.0, 0.0]]
    )
    two_thirds = 2 / 3 * 2.0  # two places are left for three equal entries of 2
    np.testing.assert_allclose(
        parts_of_largest(pairs, 3)[0],
        [[4.0, two_thirds, 0.0], [1.0, two_thirds, 0.0], [3.0, two_thirds, 0.0], [0.0, 7.0, 0.0]],
        rtol=1e-6,
    )
