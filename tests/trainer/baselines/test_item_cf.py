import numpy as np
import pytest
import scipy.sparse as sp

from features.errors import ConfigError
from tests.ragged import ragged as ragged_rows
from trainer.baselines import item_cf
from trainer.baselines.item_cf import ItemCF
from trainer.baselines.similarity import keep_largest
from trainer.metrics.protocol import EvaluationSet, Interactions


def random_interactions(num_users: int = 30, num_items: int = 20) -> Interactions:
    rng = np.random.default_rng(3)
    return Interactions.from_events(
        rng.integers(num_users, size=200),
        rng.integers(num_items, size=200),
        np.arange(200),
        num_users=num_users,
        num_items=num_items,
    )


@pytest.mark.parametrize("user_exponent", [0.0, 0.5])
@pytest.mark.parametrize("popularity_exponent", [0.0, 0.5])
def test_similarity_is_the_scaled_inner_product_of_item_columns(
    user_exponent: float, popularity_exponent: float
) -> None:
    interactions = random_interactions()
    fitted = ItemCF(user_exponent=user_exponent, popularity_exponent=popularity_exponent).fit(interactions)
    taken = interactions.matrix.toarray() > 0
    columns = taken / taken.sum(axis=1, keepdims=True) ** user_exponent
    for i, j in [(0, 1), (4, 17), (19, 3)]:
        lengths = (columns[:, i] @ columns[:, i]) * (columns[:, j] @ columns[:, j])
        expected = columns[:, i] @ columns[:, j] / lengths**popularity_exponent
        assert fitted.similarities[i, j] == pytest.approx(expected, rel=1e-5)
    assert not fitted.similarities.diagonal().any()


def test_users_and_items_without_events_are_no_neighbours() -> None:
    events = Interactions.from_events(np.array([0, 0]), np.array([1, 2]), np.array([0, 1]), num_users=3, num_items=4)
    np.testing.assert_array_equal(
        ItemCF().fit(events).similarities.toarray() > 0, [[0] * 4, [0, 0, 1, 0], [0, 1, 0, 0], [0] * 4]
    )


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    interactions = random_interactions()
    whole = ItemCF(num_neighbours=4).fit(interactions).similarities.toarray()
    monkeypatch.setattr(item_cf, "_BLOCK_PAIRS", 30)
    np.testing.assert_array_equal(ItemCF(num_neighbours=4).fit(interactions).similarities.toarray(), whole)


def test_newer_history_weighs_more() -> None:
    interactions = random_interactions()
    scorer = ItemCF(num_neighbours=20, decay=0.5).fit(interactions)
    history = ragged_rows([[2, 7]])
    queries = EvaluationSet(
        user_rows=np.array([-1]),
        history=history,
        history_timestamps=np.array([0, 1]),
        seen=history,
        targets=ragged_rows([[0]]),
        num_items=20,
    )
    weights = scorer.similarities.toarray()
    expected = 0.5 * weights[2] + weights[7]
    scored = scorer.score(queries)[0]
    np.testing.assert_allclose(scored[expected > 0], expected[expected > 0], rtol=1e-5)
    assert (scored[expected == 0] < 0).all()


def test_keep_largest_prefers_low_columns_among_equals() -> None:
    matrix = sp.csr_array(np.array([[3, 5, 3, 3], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=np.float32))
    np.testing.assert_array_equal(keep_largest(matrix, 2).toarray(), [[3, 5, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("parameters", "field"),
    [({"num_neighbours": 0}, "num_neighbours"), ({"decay": 0.0}, "decay"), ({"user_exponent": 2.0}, "user_exponent")],
)
def test_impossible_parameters_are_refused(parameters: dict[str, float], field: str) -> None:
    with pytest.raises(ConfigError, match=f"item_cf.{field}"):
        ItemCF(**parameters)
