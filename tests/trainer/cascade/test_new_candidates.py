"""Candidates that are kept for new items, by scores and counts that are worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.cascade.counts import ItemCounts, RefreshedCounts
from trainer.cascade.features import CandidateFeatures
from trainer.cascade.new_candidates import (
    Candidates,
    Popularity,
    Vectors,
    best_new_items,
    popularity_of,
    with_new_items,
)
from trainer.metrics.protocol import Ragged

DAY = 86_400
TEMPERATURE = 0.5
RNG = np.random.default_rng(0)
VECTORS = Vectors(RNG.normal(size=(6, 4)).astype(np.float32), RNG.normal(size=(9, 4)).astype(np.float32), TEMPERATURE)
NEW = np.array([2, 5, 6, 8])


def candidates(rows: list[list[int]], scores: list[list[float]]) -> Candidates:
    return Candidates(tf.constant(rows), tf.constant(scores), tf.zeros(np.shape(rows), tf.bool))


def test_the_wanted_new_items_get_the_last_places_and_those_that_were_found_stay_where_they_are() -> None:
    nothing = -np.inf
    found = candidates([[0, 1, 2], [0, 3, 4], [1, -1, -1]], [[9.0, 8.0, 7.0], [9.0, 8.0, 7.0], [9.0, nothing, nothing]])
    new = candidates([[2, 5], [5, 2], [6, -1]], [[7.0, 1.0], [1.0, 0.5], [2.0, nothing]])
    kept = with_new_items(found, new)
    assert kept.rows.numpy().tolist() == [[0, 2, 5], [0, 5, 2], [1, 6, -1]]
    assert kept.scores.numpy().tolist() == [[9.0, 7.0, 1.0], [9.0, 1.0, 0.5], [9.0, 2.0, nothing]]
    assert kept.is_reserved.numpy().tolist() == [[False, False, True], [False, True, True], [False, True, False]]


@pytest.mark.parametrize("seen", [None, Ragged.from_lengths(np.array([1, 0, 2, 0, 0, 1]), np.array([5, 0, 8, 6]))])
def test_the_best_new_items_are_those_with_the_largest_sum_of_logit_and_log_count(seen: Ragged | None) -> None:
    popularity = Popularity(RNG.normal(size=(2, 4)).astype(np.float32), np.array([0, 1, 1, 0, 1, 0]))
    found = best_new_items(VECTORS, NEW, popularity, 3, seen)
    scores = VECTORS.queries @ VECTORS.items.T
    for query, moment in enumerate(popularity.moment_of):
        logits = dict(zip(NEW, scores[query, NEW] / TEMPERATURE + popularity.log_counts[moment], strict=True))
        left_out = set() if seen is None else set(seen.slice(query, query + 1).values)
        best = sorted(set(NEW) - left_out, key=lambda row: -logits[row])[:3]
        expected = [*best, *[-1] * (3 - len(best))]
        assert found.rows[query].tolist() == expected
        np.testing.assert_allclose(found.scores[query, : len(best)], scores[query, best], rtol=1e-4, atol=1e-5)
        assert np.isneginf(found.scores[query, len(best) :]).all()


def test_an_item_is_as_popular_as_it_was_at_the_last_refresh() -> None:
    """Item 5 is taken three times on day 10, item 6 once on day 2, item 8 never."""
    times = np.array([10, 10, 10, 2]) * DAY + 5
    counts = ItemCounts(
        rows=np.array([5, 5, 5, 6]), times=times, is_repeated=np.zeros(4, bool), num_items=len(VECTORS.items)
    )
    features = CandidateFeatures({}, counts.columns())
    asked_at = np.array([11, 3, 11, 10, 20]) * DAY + 9
    rows = np.array([5, 6, 8])
    popularity = popularity_of(features, RefreshedCounts(counts, 1.0), rows, asked_at)
    assert len(popularity.log_counts) == 4  # two queries are of the same day
    expected = np.log1p([[3, 1, 0], [0, 1, 0], [3, 1, 0], [0, 1, 0], [3, 1, 0]])
    np.testing.assert_allclose(popularity.log_counts[popularity.moment_of], expected, rtol=1e-6)
    fixed = popularity_of(features, None, rows, asked_at)
    np.testing.assert_allclose(fixed.log_counts[fixed.moment_of], np.log1p([[3, 1, 0]] * 5), rtol=1e-6)
