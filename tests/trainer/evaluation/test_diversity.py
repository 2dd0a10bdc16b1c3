"""The curves of accuracy and diversity on lists whose right answers are known."""

import numpy as np
import pytest

from tests.ragged import ragged
from trainer.config.reranking import RERANKERS
from trainer.evaluation.diversity import STRENGTHS, ScoredLists, diversity_curves, rerank

# Items 0 to 3 are copies of each other, items 4 and 5 are unlike them and each other.
VECTORS = np.array([[1, 0, 0]] * 4 + [[0, 1, 0], [0, 0, 1]], np.float32)
GENRES = np.array([[1], [1], [1], [1], [2], [3]], np.int32)


def lists(**more: object) -> ScoredLists:
    given = {
        "rows": np.array([[0, 1, 2, 3, 4, 5], [1, 0, 4, -1, -1, -1]]),
        "scores": np.array([[6, 5, 4, 3, 2, 1], [3, 2, 1, 9, 9, 9]], np.float32),
        "targets": ragged([[1], [4]]),
        "vectors": VECTORS,
        "values": {"genres": GENRES},
    }
    return ScoredLists(**(given | more))


@pytest.mark.slow
@pytest.mark.parametrize("kind", RERANKERS.names)
def test_without_diversity_the_lists_are_judged_as_they_are(kind):
    first = diversity_curves(lists(), 2)[kind][0]
    assert first == {
        "strength": 0.0,
        "ndcg": pytest.approx((1 / np.log2(3) + 0) / 2),
        "distance": pytest.approx(0.0, abs=1e-6),
        "genres": 1.0,
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", RERANKERS.names)
def test_with_diversity_alone_unlike_items_take_the_places_of_copies(kind):
    last = diversity_curves(lists(), 2)[kind][-1]
    assert rerank(lists(), kind, [1.0], 2)[0].tolist() == [[0, 4], [1, 4]]
    assert last == {
        "strength": 1.0,
        "ndcg": pytest.approx((0 + 1 / np.log2(3)) / 2),
        "distance": pytest.approx(1.0, abs=1e-6),
        "genres": 2.0,
    }


def test_every_kind_has_a_point_for_every_strength():
    curves = diversity_curves(lists(), 3)
    assert list(curves) == list(RERANKERS.names)
    assert all(tuple(row["strength"] for row in rows) == STRENGTHS for rows in curves.values())


def test_lists_shorter_than_the_cutoff_keep_their_padding():
    assert rerank(lists(), "mmr", [0.0, 0.5], 5)[1][1].tolist() == [1, 4, 0, -1, -1]


def test_a_sample_is_spread_over_all_lists():
    many = lists(rows=np.arange(10)[:, None], targets=ragged([[n] for n in range(10)]), scores=np.zeros((10, 1)))
    some = many.sample(4)
    assert some.rows[:, 0].tolist() == [0, 3, 6, 9]
    assert some.targets.values.tolist() == [0, 3, 6, 9]
