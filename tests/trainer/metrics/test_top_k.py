import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from tests.ragged import ragged as ragged_rows
from trainer.metrics import top_k
from trainer.metrics.protocol import UNKNOWN, EvaluationSet
from trainer.metrics.top_k import Rankings, merge, rank_by_inner_product, rank_by_scorer


def full_sort(scores: npt.NDArray[np.float32], k: int, seen: list[list[int]]) -> list[list[int]]:
    """The reference: sorts Python tuples."""
    rankings = []
    for row, excluded in zip(scores.tolist(), seen, strict=True):
        ranked = sorted((-score, item) for item, score in enumerate(row) if item not in excluded)
        items = [item for _, item in ranked[:k]]
        rankings.append(items + [UNKNOWN] * (k - len(items)))
    return rankings


class Fixed:
    """Scores queries by the rows of a table, which their user rows name."""

    def __init__(self, table: npt.NDArray[np.float32]) -> None:
        self.table = table

    def score(self, queries: EvaluationSet) -> npt.NDArray[np.float32]:
        return self.table[queries.user_rows]


def queries_for(table: npt.NDArray[np.float32], seen: list[list[int]]) -> EvaluationSet:
    return EvaluationSet(
        user_rows=np.arange(len(table)),
        history=ragged_rows([[] for _ in seen]),
        history_timestamps=np.empty(0, np.int64),
        seen=ragged_rows(seen),
        targets=ragged_rows([[0]] * len(table)),
        num_items=table.shape[1],
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    num_items=st.integers(1, 400),
    k=st.integers(1, 30),
    levels=st.sampled_from([1, 2, 5, 1000]),
)
def test_equals_a_full_sort_with_ties_by_row(seed: int, num_items: int, k: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.integers(-levels, levels, size=(7, num_items)).astype(np.float32)
    seen = [rng.choice(num_items, size=rng.integers(0, num_items + 1), replace=False).tolist() for _ in table]
    ranked = rank_by_scorer(Fixed(table), queries_for(table, seen), k)
    assert ranked.item_rows.tolist() == full_sort(table, k, seen)
    filled = ranked.item_rows != UNKNOWN
    np.testing.assert_array_equal(ranked.scores[filled], np.take_along_axis(table, ranked.item_rows, 1)[filled])
    assert np.isneginf(ranked.scores[~filled]).all()


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_seen_items_are_left_out_only_if_asked(exclude_seen: bool) -> None:
    table = np.array([[3.0, 2.0, 1.0]], dtype=np.float32)
    ranked = rank_by_scorer(Fixed(table), queries_for(table, [[0]]), 2, exclude_seen=exclude_seen)
    assert ranked.item_rows.tolist() == ([[1, 2]] if exclude_seen else [[0, 1]])


@pytest.mark.parametrize("k", [1, 10, 700])
@pytest.mark.parametrize("item_block", [64, 100, 10_000])
@pytest.mark.parametrize("block_bytes", [1, 4096, 1 << 25])
def test_inner_product_is_the_same_however_it_is_cut(
    monkeypatch: pytest.MonkeyPatch, k: int, item_block: int, block_bytes: int
) -> None:
    monkeypatch.setattr(top_k, "ITEM_BLOCK", item_block)
    monkeypatch.setattr(top_k, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(0)
    # Small whole numbers: exact in float32 in any order of summation, and with many ties.
    queries, items = (rng.integers(-3, 4, size=(rows, 8)).astype(np.float32) for rows in (9, 600))
    seen = [rng.choice(600, size=20, replace=False).tolist() for _ in queries]
    ranked = rank_by_inner_product(queries, items, k, seen=ragged_rows(seen))
    assert ranked.item_rows.tolist() == full_sort(queries @ items.T, k, seen)
    added = sp.random_array((9, 600), density=0.05, rng=rng, format="csr", dtype=np.float32)
    added.data = np.ceil(9 * added.data)
    ranked = rank_by_inner_product(queries, items, k, seen=ragged_rows(seen), added=added)
    assert ranked.item_rows.tolist() == full_sort(queries @ items.T + added.toarray(), k, seen)


def test_of_two_rankings_the_first_wins_ties() -> None:
    first = Rankings(np.array([[4, 1, UNKNOWN]]), np.array([[3.0, 1.0, -np.inf]], np.float32))
    second = Rankings(np.array([[2, 3, 0]]), np.array([[3.0, 2.0, 1.0]], np.float32))
    assert merge(first, second, 4).item_rows.tolist() == [[4, 2, 3, 1]]
    assert merge(second, first, 4).item_rows.tolist() == [[2, 4, 3, 0]]


def test_no_queries_give_no_rankings() -> None:
    ranked = rank_by_inner_product(np.empty((0, 4), np.float32), np.ones((5, 4), np.float32), 3)
    assert ranked.item_rows.shape == ranked.scores.shape == (0, 3)


def test_diverged_models_are_refused() -> None:
    with pytest.raises(ValueError, match="diverged"):
        rank_by_inner_product(np.full((1, 2), np.inf, np.float32), np.ones((5, 2), np.float32), 3)
    table = np.full((1, 40), np.nan, dtype=np.float32)
    with pytest.raises(ValueError, match="diverged"):
        rank_by_scorer(Fixed(table), queries_for(table, [[]]), 1)
