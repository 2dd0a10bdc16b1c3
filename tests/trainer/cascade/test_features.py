"""Features of candidates against their definitions."""

import numpy as np
import tensorflow as tf

from trainer.cascade.features import CandidateFeatures, Query, Standardisation, history_weights, of_scores, over_history
from trainer.cascade.similarities import SameItem

PAIRS = np.array([[[1.0, 0.0], [2.0, -1.0], [4.0, 0.5], [9.0, 9.0]]], np.float32)
HISTORY = np.array([[5, 7, 6, -1]], np.int32)


def summed(pairs: np.ndarray, history: np.ndarray) -> list[np.ndarray]:
    """`[candidates]` each, of the only query."""
    return list(over_history(tf.constant(pairs), history_weights(tf.constant(history))).numpy()[0].T)


def test_a_similarity_is_summed_over_the_history_in_seven_ways() -> None:
    total, most, top, lately, recent, last_five, last = summed(PAIRS, HISTORY)
    np.testing.assert_allclose(total, [7.0, -0.5])
    np.testing.assert_allclose(most, [4.0, 0.5])
    np.testing.assert_allclose(top, [7.0, 0.5])
    np.testing.assert_allclose(lately, [1.0 * 0.98**2 + 2.0 * 0.98 + 4.0, -1.0 * 0.98 + 0.5], rtol=1e-6)
    np.testing.assert_allclose(recent, [1.0 * 0.81 + 2.0 * 0.9 + 4.0, -1.0 * 0.9 + 0.5], rtol=1e-6)
    np.testing.assert_allclose(last_five, total)
    np.testing.assert_allclose(last, [4.0, 0.5])


def test_an_item_outside_the_catalogue_takes_no_place_in_the_history() -> None:
    with_gap = np.array([[5, 7, -1, 6]], np.int32)
    pairs = PAIRS[:, [0, 1, 3, 2]]
    for plain, gapped in zip(summed(PAIRS, HISTORY), summed(pairs, with_gap), strict=True):
        np.testing.assert_allclose(plain, gapped, rtol=1e-6)


def test_padding_changes_nothing_and_an_empty_history_says_nothing() -> None:
    unlike = np.array([[[-1.0], [-2.0]]], np.float32)
    padded = np.pad(unlike, [[0, 0], [0, 3], [0, 0]])
    full, longer = np.array([[4, 5]], np.int32), np.array([[4, 5, -1, -1, -1]], np.int32)
    for one, other in zip(summed(unlike, full), summed(padded, longer), strict=True):
        np.testing.assert_array_equal(one, other)
    for aggregate in summed(np.zeros((1, 0, 2), np.float32), np.zeros((1, 0), np.int32)):
        np.testing.assert_array_equal(aggregate, np.zeros(2))


def test_the_last_five_are_the_last_five() -> None:
    history = np.arange(8, dtype=np.int32)[None]
    pairs = 2.0 ** np.arange(8, dtype=np.float32)[None, :, None]
    *_, last_five, last = summed(pairs, history)
    assert last_five.item() == sum(2.0**n for n in (3, 4, 5, 6, 7))
    assert last.item() == 2.0**7


def test_scores_give_the_score_the_gap_and_the_log_of_the_rank_whatever_the_order() -> None:
    scores, is_item = np.array([[0.5, 2.0, 9.0, 1.0]], np.float32), np.array([[True, True, False, True]])
    score, gap, log_rank = of_scores(scores, is_item).numpy()[0][is_item[0]].T
    np.testing.assert_allclose(score, [0.5, 2.0, 1.0])
    np.testing.assert_allclose(gap, [-1.5, 0.0, -1.0])
    np.testing.assert_allclose(log_rank, np.log([3, 1, 2]))


def test_padding_and_item_columns() -> None:
    features = CandidateFeatures({"same": SameItem()}, {"count": np.array([3.0, 5.0], np.float32)})
    query = Query(
        history=np.array([[1, 1]]), candidates=np.array([[1, -1, 0]]), scores=np.array([[2.0, 7.0, 1.0]], np.float32)
    )
    values = features(query).numpy()[0]
    assert values.shape == (3, len(features.names))
    np.testing.assert_array_equal(values[1], 0.0)
    by_name = dict(zip(features.names, values.T, strict=True))
    np.testing.assert_array_equal(by_name["count"][[0, 2]], [5.0, 3.0])
    np.testing.assert_array_equal(by_name["same_sum"][[0, 2]], [2.0, 0.0])


def test_features_do_not_depend_on_what_shares_the_batch_or_the_order() -> None:
    features = CandidateFeatures({"same": SameItem()}, {"count": np.arange(9, dtype=np.float32)})
    rng = np.random.default_rng(3)
    history = rng.integers(-1, 9, (4, 6)).astype(np.int32)
    candidates = np.array([rng.permutation(9)[:5] for _ in range(4)], np.int32)
    scores = rng.normal(size=(4, 5)).astype(np.float32)
    together = features(Query(history=history, candidates=candidates, scores=scores)).numpy()
    for number in range(4):
        one = slice(number, number + 1)
        order = rng.permutation(5)
        alone = features(
            Query(history=history[one], candidates=candidates[one][:, order], scores=scores[one][:, order])
        )
        np.testing.assert_allclose(alone.numpy()[0], together[number][order], rtol=1e-6)


def test_standardisation_is_overall_and_within_the_list() -> None:
    values = np.array([[[1.0], [3.0], [100.0]], [[5.0], [7.0], [9.0]]], np.float32)
    is_item = np.array([[True, True, False], [True, True, True]])
    standardisation = Standardisation(1)
    standardisation.fit(values, is_item)
    kept = values[is_item]
    result = standardisation(tf.constant(values), tf.constant(is_item)).numpy()
    np.testing.assert_allclose(result[is_item][:, 0], (kept - kept.mean()).ravel() / kept.std(), rtol=1e-5)
    np.testing.assert_allclose(result[0, :2, 1], [-1.0, 1.0], rtol=1e-5)
    np.testing.assert_allclose(result[1, :, 1], np.array([-2.0, 0.0, 2.0]) / np.std([5, 7, 9]), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(result[0, 2], 0.0)


def test_a_list_of_one_candidate_and_an_empty_one_are_finite() -> None:
    standardisation = Standardisation(1)
    for is_item in ([[True]], [[False]]):
        assert np.isfinite(standardisation(tf.constant([[[3.0]]]), tf.constant(is_item)).numpy()).all()
