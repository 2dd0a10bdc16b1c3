"""Baselines of ratings against their formulas, and on labels that have the form that each of them models."""

import numpy as np
import pytest
import scipy.sparse as sp

from trainer.baselines.ratings import (
    RATING_BASELINES,
    GlobalMean,
    RatedPairs,
    RatingALS,
    RatingScorer,
    RatingSVD,
    UserItemMeans,
    fit_tuned,
    solved,
)
from trainer.metrics.protocol import UNKNOWN

NUM_USERS, NUM_ITEMS = 30, 20


def pairs_of(labels: np.ndarray, share: float, seed: int = 0, weights: np.ndarray | None = None) -> RatedPairs:
    """A share of the pairs of a full matrix of labels."""
    users, items = np.nonzero(np.random.default_rng(seed).random(labels.shape) < share)
    return RatedPairs(
        user_rows=users,
        item_rows=items,
        labels=labels[users, items],
        weights=np.ones(len(users)) if weights is None else weights[users, items],
        num_users=labels.shape[0],
        num_items=labels.shape[1],
    )


def additive() -> np.ndarray:
    draw = np.random.default_rng(1)
    return 3.0 + draw.normal(size=(NUM_USERS, 1)) + draw.normal(size=(1, NUM_ITEMS))


def factored() -> np.ndarray:
    draw = np.random.default_rng(2)
    return additive() + draw.normal(size=(NUM_USERS, 2)) @ draw.normal(size=(2, NUM_ITEMS))


def rmse(scorer: RatingScorer, truth: np.ndarray) -> float:
    users, items = np.indices(truth.shape).reshape(2, -1)
    return float(np.sqrt(np.mean(np.square(scorer.predict(users, items) - truth.ravel()))))


def test_the_global_mean_is_weighted():
    labels = np.array([[1.0, 5.0]])
    pairs = pairs_of(labels, 1.1, weights=np.array([[3.0, 1.0]]))
    assert GlobalMean().fit(pairs).predict(np.array([0, UNKNOWN]), np.array([1, 0])).tolist() == [2.0, 2.0]


def test_deviations_minimise_the_penalised_error():
    pairs = pairs_of(factored(), 0.5)
    fitted = UserItemMeans(regularisation=2.0, iterations=200).fit(pairs)

    def loss(of_users: np.ndarray, of_items: np.ndarray) -> float:
        left = pairs.labels - fitted.mean - of_users[pairs.user_rows] - of_items[pairs.item_rows]
        return float(np.square(left).sum() + 2.0 * (np.square(of_users).sum() + np.square(of_items).sum()))

    best = loss(fitted.of_users, fitted.of_items)
    for place in range(3):
        for step in (-0.01, 0.01):
            moved = np.eye(NUM_USERS)[place] * step
            assert loss(fitted.of_users + moved, fitted.of_items) > best
            moved = np.eye(NUM_ITEMS)[place] * step
            assert loss(fitted.of_users, fitted.of_items + moved) > best


def test_additive_labels_are_learnt_by_means_and_factors_by_als_alone():
    assert rmse(UserItemMeans(regularisation=0.01, iterations=50).fit(pairs_of(additive(), 0.5)), additive()) < 0.05
    truth = factored()
    means = rmse(UserItemMeans(regularisation=0.1).fit(pairs_of(truth, 0.7)), truth)
    als = rmse(RatingALS(factors=2, penalty=0.01, regularisation=0.1, iterations=50).fit(pairs_of(truth, 0.7)), truth)
    assert als < 0.35 * means


def test_svd_of_a_full_matrix_is_that_of_its_residuals():
    pairs = pairs_of(factored(), 1.1)
    means = UserItemMeans(regularisation=5.0).fit(pairs)
    users, items = np.indices((NUM_USERS, NUM_ITEMS)).reshape(2, -1)
    residuals = factored() - means.predict(users, items).reshape(NUM_USERS, NUM_ITEMS)
    left, values, right = np.linalg.svd(residuals)
    expected = (left[:, :2] * values[:2]) @ right[:2]
    found = RatingSVD(factors=2).fit(pairs).predict(users, items) - means.predict(users, items)
    np.testing.assert_allclose(found.reshape(NUM_USERS, NUM_ITEMS), expected, atol=1e-6)


def test_rows_are_solved_by_ridge_regression():
    draw = np.random.default_rng(3)
    weights = sp.csr_array(draw.random((4, 6)) * (draw.random((4, 6)) < 0.6) * np.array([[1], [1], [0], [1]]))
    wanted, others = draw.normal(size=(4, 6)), draw.normal(size=(6, 2))
    found = solved(weights, sp.csr_array(weights.toarray() * wanted), others, 0.3)
    for row, of_row in enumerate(weights.toarray()):
        ridge = others.T @ np.diag(of_row) @ others + 0.3 * of_row.sum() * np.eye(2)
        expected = np.linalg.pinv(ridge) @ others.T @ (of_row * wanted[row])
        np.testing.assert_allclose(found[row], expected, atol=1e-9)


@pytest.mark.parametrize("name", RATING_BASELINES)
class TestEveryBaseline:
    def test_unknown_users_get_what_is_known_of_the_item(self, name):
        scorer = RATING_BASELINES[name].fit(pairs_of(factored(), 0.5))
        items = np.arange(NUM_ITEMS)
        found = scorer.predict(np.full(NUM_ITEMS, UNKNOWN), items)
        np.testing.assert_allclose(found, scorer.mean + scorer.of_items)

    def test_one_pair_is_enough(self, name):
        one = pairs_of(np.array([[4.0]]), 1.1)
        assert fit_tuned(RATING_BASELINES[name], one, None).predict(np.array([0]), np.array([0])) == pytest.approx([4])

    def test_pairs_of_unknown_users_count_for_the_mean_alone(self, name):
        pairs = pairs_of(np.array([[4.0], [2.0]]), 1.1)
        scorer = RATING_BASELINES[name].fit(RatedPairs(**(pairs.__dict__ | {"user_rows": np.array([0, UNKNOWN])})))
        assert scorer.mean == 3.0
        assert np.isfinite(scorer.predict(np.array([0, 1]), np.array([0, 0]))).all()

    def test_validation_chooses_the_variant(self, name):
        baseline, train = RATING_BASELINES[name], pairs_of(factored(), 0.4)
        validation = pairs_of(factored(), 0.3, seed=5)
        errors = []
        for variant in baseline.variants():
            predicted = variant.fit(train).predict(validation.user_rows, validation.item_rows)
            errors.append(np.mean(np.square(predicted - validation.labels)))
        chosen = fit_tuned(baseline, train, validation).predict(validation.user_rows, validation.item_rows)
        assert np.mean(np.square(chosen - validation.labels)) == pytest.approx(min(errors))
