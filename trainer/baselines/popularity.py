"""Popularity: the same list for all, which personalised models have to beat.

Recent popularity counts an event less the longer ago it was; see Ji, Sun, Zhang and Li, "A Re-visit of the Popularity
Baseline in Recommender Systems", SIGIR 2020 (https://arxiv.org/abs/2005.13829), "DecayPop".
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trainer.baselines.contract import Baseline, Grid, require_positive, weights_by_age
from trainer.metrics.protocol import EvaluationSet, Float, Interactions


@dataclass(frozen=True)
class FixedScorer:
    """Gives every query the same scores."""

    item_scores: Float
    """`[num_items] float32`."""

    def score(self, queries: EvaluationSet) -> Float:
        """Returns `[queries, num_items] float32`, each row the same (and read-only)."""
        return np.broadcast_to(self.item_scores, (len(queries), len(self.item_scores)))


@dataclass(frozen=True, kw_only=True)
class Popularity(Baseline):
    """Scores an item by the number of its train events."""

    def fit(self, interactions: Interactions) -> FixedScorer:
        """Counts."""
        return FixedScorer(interactions.popularity.astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class RecentPopularity(Baseline):
    """Scores an item by its train events, each weighing `2 ** -(age / half-life)`."""

    half_life: float = 0.05
    """Share of the time that train spans, after which an event counts half; ages count from the last train event."""
    grid: ClassVar[Grid] = {"half_life": (0.01, 0.03, 0.1, 0.3)}

    def __post_init__(self) -> None:
        require_positive("popularity_recent.half_life", self.half_life)

    def fit(self, interactions: Interactions) -> FixedScorer:
        """Counts with weights."""
        weights = weights_by_age(interactions, self.half_life)
        counts = np.bincount(interactions.item_rows, weights=weights, minlength=interactions.num_items)
        return FixedScorer(counts.astype(np.float32))
