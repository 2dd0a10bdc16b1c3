"""SVD, ALS and BPR: what the contract cannot show."""

import numpy as np
import pytest

from features.errors import ConfigError
from tests.ragged import ragged as ragged_rows
from trainer.baselines.als import ALS
from trainer.baselines.bpr import BPR
from trainer.baselines.svd import SVD
from trainer.baselines.table import make_baseline
from trainer.metrics.protocol import EvaluationSet, Interactions


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    rng = np.random.default_rng(0)
    return Interactions.from_events(
        rng.integers(30, size=300), rng.integers(20, size=300), np.arange(300), num_users=30, num_items=20
    )


@pytest.fixture(scope="module")
def queries(interactions: Interactions) -> EvaluationSet:
    history = ragged_rows([[3, 7, 11], [0]])
    return EvaluationSet(
        user_rows=np.array([-1, 4]),
        history=history,
        history_timestamps=np.arange(4),
        seen=history,
        targets=ragged_rows([[1], [2]]),
        num_items=20,
    )


def test_svd_projects_the_history_on_the_leading_singular_vectors(
    interactions: Interactions, queries: EvaluationSet
) -> None:
    _, _, vectors = np.linalg.svd(interactions.binary_matrix.toarray())
    projection = vectors[:5].T @ vectors[:5]
    expected = queries.history_matrix().toarray() @ projection
    np.testing.assert_allclose(SVD(factors=5).fit(interactions).score(queries), expected, atol=1e-3)


def test_svd_of_all_factors_gives_the_history_back(interactions: Interactions, queries: EvaluationSet) -> None:
    scores = SVD(factors=1000).fit(interactions).score(queries)
    np.testing.assert_allclose(scores, queries.history_matrix().toarray(), atol=1e-4)


def test_als_solves_the_weighted_least_squares_of_the_history(
    interactions: Interactions, queries: EvaluationSet
) -> None:
    alpha, regularisation = 3.0, 0.5
    scorer = ALS(factors=4, alpha=alpha, regularisation=regularisation).fit(interactions)
    items = scorer.model.item_factors.astype(np.float64)
    preferences = queries.history_matrix().toarray()[0]
    confidences = np.diag(1 + alpha * preferences)
    # Hu, Koren and Volinsky, equation 4.
    factors = np.linalg.solve(
        items.T @ confidences @ items + regularisation * np.eye(4), items.T @ confidences @ preferences
    )
    np.testing.assert_allclose(scorer.score(queries)[0], items @ factors, atol=1e-4)


def test_als_weighs_pairs_relative_to_their_mean(interactions: Interactions, queries: EvaluationSet) -> None:
    scaled = Interactions.from_events(
        interactions.user_rows,
        interactions.item_rows,
        interactions.timestamps,
        weights=10 * interactions.weights,
        num_users=30,
        num_items=20,
    )
    first, second = (ALS(factors=4).fit(events).score(queries) for events in (interactions, scaled))
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_bpr_scores_known_users_by_their_factors_whatever_the_history(
    interactions: Interactions, queries: EvaluationSet
) -> None:
    scorer = BPR(factors=4, iterations=2).fit(interactions)
    expected = scorer.user_factors[4] @ scorer.item_factors.T
    np.testing.assert_allclose(scorer.score(queries)[1], expected, rtol=1e-5)


def test_seed_changes_what_is_drawn(interactions: Interactions, queries: EvaluationSet) -> None:
    first, second = (make_baseline("bpr", seed=seed, iterations=2).fit(interactions).score(queries) for seed in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", ["svd", "als", "bpr"])
def test_impossible_parameters_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name}\.factors = 0"):
        make_baseline(name, factors=0)
