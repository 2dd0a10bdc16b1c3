from math import log2

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG

from tests.ragged import ragged as ragged_rows
from trainer.metrics.lists import catalogue_metrics, find_hits, gini, query_metrics
from trainer.metrics.protocol import UNKNOWN

# Query 0 finds its targets 7 and 8 at the ranks 1 and 3 and misses a third, which is not in the catalogue.
# Query 1 has a short list and finds nothing; query 2 finds its only target at rank 2.
RANKED = np.array([[7, 1, 8, 2], [3, UNKNOWN, UNKNOWN, UNKNOWN], [5, 0, 4, 6]])
TARGETS = ragged_rows([[7, 8, UNKNOWN], [4, UNKNOWN], [0]])


def test_hits_ignore_empty_places_and_unreachable_targets() -> None:
    assert find_hits(RANKED, TARGETS).tolist() == [[True, False, True, False], [False] * 4, [False, True, False, False]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("recall@3", [2 / 3, 0, 1]),
        ("recall@1", [1 / 3, 0, 0]),
        ("hit_rate@1", [1, 0, 0]),
        ("hit_rate@3", [1, 0, 1]),
        ("precision@3", [2 / 3, 0, 1 / 3]),
        ("ndcg@3", [(1 + 1 / log2(4)) / (1 + 1 / log2(3) + 1 / log2(4)), 0, 1 / log2(3)]),
        ("ndcg@1", [1, 0, 0]),
        ("mrr@3", [1, 0, 1 / 2]),
        ("mrr@1", [1, 0, 0]),
        ("map@3", [(1 / 1 + 2 / 3) / 3, 0, 1 / 2]),
    ],
)
def test_metric_equals_its_formula(name: str, expected: list[float]) -> None:
    np.testing.assert_allclose(query_metrics(RANKED, TARGETS, (1, 3))[name], expected)


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 12))
def test_metrics_equal_trec_eval(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    num_queries, num_items = 6, 15
    ranked = np.stack([rng.permutation(num_items)[:12] for _ in range(num_queries)])
    targets = [rng.choice(num_items, size=rng.integers(1, 9), replace=False) for _ in range(num_queries)]
    ours = query_metrics(ranked, ragged_rows([row.tolist() for row in targets]), [k])

    judged = [ir_measures.Qrel(str(query), str(item), 1) for query, row in enumerate(targets) for item in row]
    run = [
        ir_measures.ScoredDoc(str(query), str(item), -float(rank))
        for query, row in enumerate(ranked)
        for rank, item in enumerate(row)
    ]
    theirs = {
        "recall": R @ k,
        "hit_rate": Success @ k,
        "precision": P @ k,
        "ndcg": nDCG @ k,
        "mrr": RR @ k,
        "map": AP @ k,
    }
    for result in ir_measures.iter_calc(theirs.values(), judged, run):
        name = next(name for name, measure in theirs.items() if measure == result.measure)
        assert ours[f"{name}@{k}"][int(result.query_id)] == pytest.approx(result.value), name


def test_perfect_list_reaches_one_even_with_fewer_places_than_targets() -> None:
    metrics = query_metrics(np.array([[0, 1]]), ragged_rows([[0, 1, 2, 3]]), [2])
    assert metrics["ndcg@2"] == metrics["precision@2"] == metrics["mrr@2"] == 1
    assert metrics["recall@2"] == metrics["map@2"] == 0.5


@pytest.mark.parametrize("k", [0, 5])
def test_cutoffs_beyond_the_lists_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match="hold 4 items"):
        query_metrics(RANKED, TARGETS, [k])


def test_catalogue_metrics_equal_their_formulas() -> None:
    popularity = np.array([4, 3, 1, 0])
    metrics = catalogue_metrics(np.array([[0, 1, 2], [0, 3, 1], [0, UNKNOWN, UNKNOWN]]), popularity, 2)
    # Shown: item 0 three times, item 1 once, item 3 once; item 3 counts as taken once.
    assert metrics["coverage@2"] == 3 / 4
    assert metrics["novelty@2"] == pytest.approx((3 * -log2(4 / 8) - log2(3 / 8) - log2(1 / 8)) / 5)
    assert metrics["mean_popularity@2"] == pytest.approx((3 * 4 + 3 + 0) / 5)
    assert metrics["gini@2"] == gini(np.array([3, 1, 0, 1]))


@pytest.mark.parametrize(
    ("counts", "expected"), [([5, 5, 5, 5], 0.0), ([0, 0, 0, 9], 3 / 4), ([0, 0], 0.0), ([1, 3], 1 / 4)]
)
def test_gini_of_known_distributions(counts: list[int], expected: float) -> None:
    assert gini(np.array(counts)) == pytest.approx(expected)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8))
def test_gini_is_half_the_relative_mean_difference(counts: list[int]) -> None:
    array = np.array(counts)
    mean = array.mean()
    expected = np.abs(array[:, None] - array).mean() / (2 * mean) if mean else 0.0
    assert gini(array) == pytest.approx(expected)
