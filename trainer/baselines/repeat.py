"""What the user has taken before, again: the most frequent first.

The personal frequency of next-basket recommendation, hard to beat where customers buy the same things again: Hu, He,
Gao and Zhang, "Modeling Personalized Item Frequency Information for Next-basket Recommendation", SIGIR 2020
(https://arxiv.org/abs/2006.00556, section 3); lists are filled up with what is popular, G-P-TopFreq in Li, Jullien,
Ariannezhad and de Rijke, "A Next Basket Recommendation Reality Check", 2021 (https://arxiv.org/abs/2109.14233).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from trainer.baselines.contract import Baseline, Grid, require_positive
from trainer.baselines.popularity import RecentPopularity
from trainer.metrics.protocol import EvaluationSet, Float, Interactions

# Below any weight in a history that matters: popularity orders items of equal weight, and those never taken.
_POPULARITY_SHARE = 1e-4


@dataclass(frozen=True)
class RepeatScorer:
    """Scores an item by how often the history holds it, newer events weighing more."""

    half_life: float
    """Seconds after which an event of the history weighs half; ages count from the history's newest event."""
    popularity: Float
    """`[num_items] float32`, 0 to 1: the order of what no history item decides."""

    def score(self, queries: EvaluationSet) -> Float:
        """Returns `[queries, num_items] float32`."""
        rows, times = queries.history.row_of_value, queries.history_timestamps
        newest = np.zeros(len(queries), np.int64)
        np.maximum.at(newest, rows, times)
        weights = np.exp2((times - newest[rows]) / self.half_life).astype(np.float32)
        pairs = (rows, queries.history.values)
        taken = sp.csr_array((weights, pairs), shape=(len(queries), queries.num_items)).toarray()
        scores: Float = taken + np.float32(_POPULARITY_SHARE) * self.popularity
        return scores


@dataclass(frozen=True, kw_only=True)
class Repeat(Baseline):
    """Personal frequency with a half-life, then recent popularity; of use where seen items are ranked too."""

    half_life: float = 0.3
    """Share of the time that train spans, after which an event of the history weighs half."""
    popularity_half_life: float = 0.03
    """The same, for the popularity that fills up the lists."""
    grid: ClassVar[Grid] = {
        "half_life": (0.03, 0.1, 0.3, 1.0, 10.0),
        "popularity_half_life": (0.01, 0.03, 0.1, 0.3),
    }

    def __post_init__(self) -> None:
        for name in ("half_life", "popularity_half_life"):
            require_positive(f"repeat.{name}", getattr(self, name))

    def fit(self, interactions: Interactions) -> RepeatScorer:
        """Counts popularity; the histories come with the queries."""
        popular = RecentPopularity(half_life=self.popularity_half_life).fit(interactions).item_scores
        times = interactions.timestamps
        span = float(times.max(initial=0) - times.min(initial=times.max(initial=0)))
        return RepeatScorer(max(self.half_life * span, 1.0), popular / max(float(popular.max(initial=0.0)), 1e-30))
