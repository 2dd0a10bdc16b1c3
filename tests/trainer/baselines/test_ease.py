import numpy as np
import pytest

from features.errors import ConfigError, RecstackError
from tests.ragged import ragged as ragged_rows
from trainer.baselines.ease import EASE
from trainer.metrics.protocol import EvaluationSet, Interactions
from trainer.metrics.top_k import rank_by_scorer

NUM_USERS, NUM_ITEMS = 50, 30


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    rng = np.random.default_rng(0)
    items = (NUM_ITEMS * rng.uniform(size=400) ** 2).astype(np.int64)
    return Interactions.from_events(
        rng.integers(NUM_USERS, size=400), items, np.arange(400), num_users=NUM_USERS, num_items=NUM_ITEMS
    )


def test_each_column_is_the_ridge_regression_on_the_other_items(interactions: Interactions) -> None:
    weights = EASE(l2=5.0).fit(interactions).weights
    taken = interactions.binary_matrix.toarray().astype(np.float64)
    for item in range(NUM_ITEMS):
        others = np.delete(np.arange(NUM_ITEMS), item)
        gram = taken[:, others].T @ taken[:, others] + 5.0 * np.eye(NUM_ITEMS - 1)
        solution = np.linalg.solve(gram, taken[:, others].T @ taken[:, item])
        np.testing.assert_allclose(weights[others, item], solution, atol=1e-5)
        assert weights[item, item] == 0


def test_items_beyond_the_limit_follow_by_popularity(interactions: Interactions) -> None:
    scorer = EASE(max_items=10).fit(interactions)
    history = ragged_rows([[0, 29]])
    query = EvaluationSet(
        user_rows=np.array([-1]),
        history=history,
        history_timestamps=np.zeros(2, np.int64),
        seen=ragged_rows([[]]),
        targets=ragged_rows([[0]]),
        num_items=NUM_ITEMS,
    )
    ranked = rank_by_scorer(scorer, query, NUM_ITEMS).item_rows[0]
    by_popularity = np.argsort(-interactions.popularity, kind="stable")
    assert set(ranked[:10]) == set(by_popularity[:10])
    np.testing.assert_array_equal(ranked[10:], by_popularity[10:])


def test_a_matrix_that_cannot_be_inverted_is_refused_with_the_remedy(interactions: Interactions) -> None:
    twice = Interactions.from_events(
        np.repeat(interactions.user_rows, 2),
        np.repeat(interactions.item_rows, 2) * 2 + np.tile([0, 1], len(interactions.item_rows)),
        np.arange(2 * len(interactions.item_rows)),
        num_users=NUM_USERS,
        num_items=2 * NUM_ITEMS,
    )
    with pytest.raises(RecstackError, match="expected a larger value"):
        EASE(l2=1e-12).fit(twice)


def test_impossible_parameters_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"ease\.l2"):
        EASE(l2=0.0)
