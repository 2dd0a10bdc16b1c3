"""Greedy re-ranking beside plain NumPy, for every kind."""

import numpy as np
import pytest
import tensorflow as tf

from features.errors import ConfigError
from serving.models.graph_termination import always_terminates, unbounded_functions
from trainer.config.reranking import RERANKERS, DPPConfig, MMRConfig, RerankerConfig
from trainer.reranking.caps import Cap, make_caps
from trainer.reranking.greedy import Ranked, Reranking

KINDS = [RERANKERS.options(name)() for name in RERANKERS.names]
MOST = 40


def candidates(batch: int, size: int, *, padding: int = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Descending scores `[batch, size]`, -inf at the end, and vectors `[batch, size, 6]` of any length."""
    draw = np.random.default_rng(seed)
    scores = -np.sort(-draw.normal(size=(batch, size)), axis=1).astype(np.float32)
    scores[:, size - padding :] = -np.inf
    return scores, draw.normal(size=(batch, size, 6)).astype(np.float32)


def rerank(
    config: RerankerConfig,
    scores: np.ndarray,
    vectors: np.ndarray,
    strength: object,
    count: int,
    caps: tuple[Cap, ...] = (),
) -> list[list[int]]:
    rows = np.where(np.isfinite(scores), np.arange(scores.shape[1]), -1).astype(np.int32)
    ranked = Ranked(scores=tf.constant(scores), rows=tf.constant(rows), vectors=tf.constant(vectors))
    strengths = tf.constant(np.broadcast_to(np.float32(strength), len(scores)))
    return Reranking(config, caps, most=MOST)(ranked, strengths, tf.constant(count)).numpy().tolist()


def relevance(scores: np.ndarray) -> np.ndarray:
    return (scores - scores[-1]) / (scores[0] - scores[-1])


def cosines(vectors: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def mmr(scores: np.ndarray, vectors: np.ndarray, strength: float, count: int) -> list[int]:
    similar, chosen = cosines(vectors), list[int]()
    for _ in range(count):
        left = [i for i in range(len(scores)) if i not in chosen]
        nearest = {i: max((similar[i, j] for j in chosen), default=0.0) for i in left}
        chosen.append(max(left, key=lambda i: (1 - strength) * relevance(scores)[i] - strength * nearest[i]))
    return chosen


def dpp(scores: np.ndarray, vectors: np.ndarray, strength: float, count: int) -> list[int]:
    """Maximises the objective itself, determinant by determinant."""
    kernel, chosen = (1 + cosines(vectors.astype(np.float64))) / 2, list[int]()

    def objective(items: list[int]) -> float:
        volume = np.linalg.slogdet(kernel[np.ix_(items, items)])[1]
        return float((1 - strength) * relevance(scores)[items].sum() + strength * volume)

    for _ in range(count):
        chosen.append(max((i for i in range(len(scores)) if i not in chosen), key=lambda i: objective([*chosen, i])))
    return chosen


@pytest.mark.parametrize(("config", "reference"), [(MMRConfig(), mmr), (DPPConfig(), dpp)])
@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
def test_choices_are_those_of_the_formula(config, reference, strength):
    scores, vectors = candidates(3, 12)
    # Seven vectors of six components and one constant are dependent, so the determinants of more are 0.
    expected = [reference(scores[n], vectors[n], strength, 6) for n in range(3)]
    assert rerank(config, scores, vectors, strength, 6) == expected


@pytest.mark.parametrize("config", KINDS)
class TestEveryKind:
    def test_strength_zero_changes_nothing(self, config):
        scores, vectors = candidates(2, 30, padding=3)
        scores[0, :5] = scores[0, 0]  # equal scores keep their order
        assert rerank(config, scores, vectors, 0.0, 30) == [list(range(30))] * 2

    @pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
    def test_each_item_comes_once_and_padding_last(self, config, strength):
        scores, vectors = candidates(2, 20, padding=4)
        for row in rerank(config, scores, vectors, strength, 20):
            assert [*sorted(row[:16]), *sorted(row[16:])] == list(range(20))

    @pytest.mark.parametrize("strength", [0.7, 1.0])
    def test_the_best_comes_first_and_copies_of_it_last(self, config, strength):
        scores = np.array([[3.0, 2.9, 2.8, 0.1]], np.float32)
        vectors = np.array([[[1, 0], [2, 0], [3, 0], [0, 1]]], np.float32)
        assert rerank(config, scores, vectors, strength, 3)[0][:2] == [0, 3]

    def test_each_query_has_a_strength_of_its_own(self, config):
        scores, vectors = candidates(3, 20)
        strengths = [0.0, 0.4, 1.0]
        together = rerank(config, scores, vectors, strengths, 8)
        alone = [rerank(config, scores[n, None], vectors[n, None], strengths[n], 8)[0] for n in range(3)]
        assert together == alone
        assert together[0] == list(range(8))

    @pytest.mark.parametrize(("size", "count"), [(1, 0), (1, 1), (5, 0), (5, 1)])
    def test_one_candidate_or_none_wanted(self, config, size, count):
        scores, vectors = candidates(2, size)
        assert rerank(config, scores, vectors, 0.7, count) == [list(range(count))] * 2

    def test_lists_without_items_or_queries(self, config):
        scores, vectors = candidates(1, 4, padding=4)
        assert sorted(rerank(config, scores, vectors, 0.7, 4)[0]) == [0, 1, 2, 3]
        assert rerank(config, scores[:0], vectors[:0], 0.7, 4) == []

    def test_items_without_a_vector_are_ranked_too(self, config):
        scores, _ = candidates(1, 5)
        assert rerank(config, scores, np.zeros([1, 5, 3], np.float32), 0.5, 5) == [[0, 1, 2, 3, 4]]

    def test_more_items_than_components_stay_finite(self, config):
        scores, vectors = candidates(1, MOST)
        assert sorted(rerank(config, scores, vectors, 1.0, MOST)[0]) == list(range(MOST))

    def test_more_diversity_makes_lists_less_alike(self, config):
        scores, vectors = candidates(50, 30)

        def alike(strength: float) -> float:
            lists = rerank(config, scores, vectors, strength, 5)
            return float(np.mean([cosines(vectors[n][places]).sum() - 5 for n, places in enumerate(lists)]))

        relevant, mixed, diverse = (alike(strength) for strength in (0.0, 0.3, 0.6))
        assert relevant > mixed > diverse

    @pytest.mark.slow
    def test_a_server_sees_that_the_loop_ends(self, config):
        reranking = Reranking(config, [Cap([[b"a"]] * 9, 2)], most=MOST)

        @tf.function(input_signature=[tf.TensorSpec([None, 9]), tf.TensorSpec([None]), tf.TensorSpec([], tf.int32)])
        def places(scores: tf.Tensor, strength: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
            rows = tf.zeros_like(scores, tf.int32)
            ranked = Ranked(scores=scores, rows=rows, vectors=tf.ones([tf.shape(scores)[0], 9, 2]))
            return tf.cond(count > 2, lambda: reranking(ranked, strength, count), lambda: rows[:, :count])

        graph = places.get_concrete_function().graph
        assert always_terminates(graph.outputs, unbounded_functions(graph.as_graph_def()))


def test_a_cap_leaves_at_most_so_many_of_a_value():
    scores = np.array([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]], np.float32)
    values = [[b"drama"], [b"drama", b"war"], [b"drama"], [b"war"], [], [b"war"]]
    caps = make_caps({"genres": values}, {"genres": 1})
    # Item 3 alone is neither drama nor of a taken value; item 4 has no value, so no cap concerns it.
    assert rerank(MMRConfig(), scores, np.ones([1, 6, 2], np.float32), 0.0, 3, caps) == [[0, 3, 4]]


def test_items_beyond_a_cap_follow_where_candidates_run_out():
    scores = np.array([[4.0, 3.0, 2.0, -np.inf]], np.float32)
    caps = make_caps({"brand": [[b"a"], [b"a"], [b"b"], [b"c"]]}, {"brand": 1})
    assert rerank(DPPConfig(), scores, np.ones([1, 4, 2], np.float32), 0.0, 4, caps) == [[0, 2, 1, 3]]


def test_several_caps_hold_together():
    scores = np.array([[5.0, 4.0, 3.0, 2.0, 1.0]], np.float32)
    brands = [[b"a"], [b"b"], [b"b"], [b"c"], [b"d"]]
    genres = [[b"x"], [b"x"], [b"y"], [b"x"], [b"z"]]
    caps = make_caps({"brand": brands, "genres": genres}, {"brand": 1, "genres": 2})
    assert rerank(MMRConfig(), scores, np.ones([1, 5, 2], np.float32), 0.0, 3, caps) == [[0, 1, 4]]


def test_a_cap_of_an_unknown_attribute_is_refused():
    with pytest.raises(ConfigError, match=r"genres.*brand"):
        make_caps({"brand": [[b"a"]]}, {"genres": 1})


@pytest.mark.parametrize("given", [{"diversity": 1.5}, {"diversity": float("nan")}, {"caps": {"genres": 0}}])
def test_strengths_and_caps_out_of_range_are_refused(given):
    with pytest.raises(ConfigError, match=f"export.reranker.{next(iter(given))}"):
        MMRConfig(**given)
