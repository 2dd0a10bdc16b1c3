"""What diversity costs: accuracy of re-ranked lists beside how different their items are, by kind and strength."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.config.reranking import RERANKERS
from trainer.metrics.diversity import distinct_values, intra_list_distance
from trainer.metrics.lists import query_metrics
from trainer.metrics.protocol import Int, Ragged
from trainer.reranking.greedy import Ranked, Reranking

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
_MOST_QUERIES = 2_000
_LISTS_A_BLOCK = 256
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ScoredLists:
    """Lists in the order that is served, and what is known of their items."""

    rows: Int
    """`[queries, n] int64`: catalogue rows, best first; -1 where a list is short."""
    scores: Float32
    """`[queries, n] float32`: descending; any number where a list is short."""
    targets: Ragged
    """The catalogue rows to be found."""
    vectors: Float32
    """`[items, d] float32`: retrieval's vectors of the items."""
    values: Mapping[str, npt.NDArray[np.int32]]
    """`[items, v] int32` an item feature: its values, above 0; 0 is padding."""

    def sample(self, most: int) -> "ScoredLists":
        """At most so many lists, spread evenly over all."""
        chosen = np.unique(np.linspace(0, len(self.rows) - 1, min(most, len(self.rows))).astype(np.int64))
        return ScoredLists(
            rows=self.rows[chosen],
            scores=self.scores[chosen],
            targets=self.targets.take(chosen),
            vectors=self.vectors,
            values=self.values,
        )


def diversity_curves(lists: ScoredLists, cutoff: int) -> dict[str, list[dict[str, float]]]:
    """Re-ranks the lists by every kind at every strength.

    Args:
        lists: At least one; of very many, 2,000.
        cutoff: Length of the lists that are judged.

    Returns:
        By kind, one entry a strength: `strength`, and means over the queries of `ndcg`, `distance` and, for each item
        feature, `<feature>` distinct values.
    """
    some = lists.sample(_MOST_QUERIES)
    return {
        name: [
            {"strength": strength, **_judged(some, ranked)}
            for strength, ranked in zip(STRENGTHS, rerank(some, name, STRENGTHS, cutoff), strict=True)
        ]
        for name in RERANKERS.names
    }


def rerank(lists: ScoredLists, kind: str, strengths: Sequence[float], count: int) -> list[Int]:
    """The first `count` rows of each list as `recommender` re-ranks it, `[queries, count] int64` a strength."""
    reranking = Reranking(RERANKERS.options(kind)(), most=lists.rows.shape[1])
    scores = np.where(lists.rows >= 0, lists.scores, -np.inf).astype(np.float32)

    @tf.function(reduce_retracing=True, autograph=False)
    def places(ranked: dict[str, tf.Tensor], strength: tf.Tensor) -> tf.Tensor:
        return reranking(Ranked(**ranked), tf.fill([tf.shape(ranked["rows"])[0]], strength), tf.constant(count))

    found: list[list[Int]] = [[] for _ in strengths]
    for start in range(0, len(lists.rows), _LISTS_A_BLOCK):
        rows = lists.rows[start : start + _LISTS_A_BLOCK]
        ranked = {
            "scores": tf.constant(scores[start : start + _LISTS_A_BLOCK]),
            "rows": tf.constant(rows, tf.int32),
            "vectors": tf.constant(lists.vectors[rows]),
        }
        for strength, blocks in zip(strengths, found, strict=True):
            blocks.append(np.take_along_axis(rows, places(ranked, tf.constant(strength)).numpy(), axis=1))
    return [np.concatenate(blocks) for blocks in found]


def _judged(lists: ScoredLists, ranked: Int) -> dict[str, float]:
    is_item = ranked >= 0
    measured: dict[str, Any] = {
        "ndcg": query_metrics(ranked, lists.targets, [ranked.shape[1]])[f"ndcg@{ranked.shape[1]}"],
        "distance": intra_list_distance(lists.vectors[ranked], is_item),
    }
    for name, values in lists.values.items():
        of_lists = np.where(is_item[..., None], values[ranked], 0)
        measured[name] = distinct_values(of_lists.reshape(len(ranked), -1))
    return {name: float(of_queries.mean()) for name, of_queries in measured.items()}
