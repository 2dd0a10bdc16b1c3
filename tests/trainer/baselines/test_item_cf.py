import numpy as np
import pytest
import scipy.sparse as sp

from features.errors import ConfigError
from trainer.baselines import item_cf
from trainer.baselines.item_cf import ItemCF
from trainer.baselines.similarity import keep_largest
from trainer.evaluation.protocol import EvaluationSet, Interactions, Ragged


def random_interactions(num_users: int = 30, num_items: int = 20) -> Interactions:
    rng = np.random.default_rng(3)
    return Interactions.from_events(
        rng.integers(num_users, size=200),
        rng.integers(num_items, size=200),
        np.arange(200),
        num_users=num_users,
        num_items=num_items,
    )


def test_similarity_is_the_cosine_of_the_sets_of_users() -> None:
    interactions = random_interactions()
    weights = ItemCF(num_neighbours=20).fit(interactions).similarities
    taken = interactions.matrix.toarray() > 0
    for i, j in [(0, 1), (4, 17), (19, 3)]:
        both = np.sum(taken[:, i] & taken[:, j])
        expected = both / np.sqrt(taken[:, i].sum() * taken[:, j].sum())
        assert weights[i, j] == pytest.approx(expected, rel=1e-5)
    assert not weights.diagonal().any()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    interactions = random_interactions()
    whole = ItemCF(num_neighbours=4).fit(interactions).similarities.toarray()
    monkeypatch.setattr(item_cf, "_BLOCK_PAIRS", 30)
    np.testing.assert_array_equal(ItemCF(num_neighbours=4).fit(interactions).similarities.toarray(), whole)


def test_newer_history_weighs_more() -> None:
    interactions = random_interactions()
    scorer = ItemCF(num_neighbours=20, decay=0.5).fit(interactions)
    history = Ragged.from_lists([[2, 7]])
    queries = EvaluationSet(
        user_rows=np.array([-1]),
        history=history,
        history_timestamps=np.array([0, 1]),
        seen=history,
        targets=Ragged.from_lists([[0]]),
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
    ("parameters", "field"), [({"num_neighbours": 0}, "num_neighbours"), ({"decay": 0.0}, "decay")]
)
def test_impossible_parameters_are_refused(parameters: dict[str, float], field: str) -> None:
    with pytest.raises(ConfigError, match=f"item_cf.{field}"):
        ItemCF(**parameters)  # type: ignore[arg-type]
