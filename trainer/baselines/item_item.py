"""The scorer that item-based collaborative filtering and EASE share: history times an item-item matrix."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from features.errors import ConfigError
from trainer.baselines.contract import fill_with_popularity, without_history
from trainer.evaluation.protocol import EvaluationSet, Float, Int


@dataclass(frozen=True)
class ItemItemScorer:
    """Scores item j by the sum of `weights[i, j]` over the items i of the history, newer ones weighing more."""

    weights: sp.csr_array | Float
    """`[num_items, num_items] float32`, sparse and not negative, or dense."""
    decay: float
    """Weight of a history item relative to the next newer one."""
    popularity: Int
    """`[num_items] int64`: the order of items that no history item points to."""

    def score(self, queries: EvaluationSet) -> Float:
        """Returns `[queries, num_items] float32`."""
        history = queries.history_matrix(self.decay)
        if isinstance(self.weights, np.ndarray):
            return fill_with_popularity(history @ self.weights, without_history(queries), self.popularity)
        scores = (history @ self.weights).toarray()
        return fill_with_popularity(scores, scores == 0.0, self.popularity)


def require_decay(field: str, decay: float) -> None:
    """Raises ConfigError unless `decay` is a weight in (0, 1]."""
    if not 0.0 < decay <= 1.0:
        raise ConfigError(field, decay, "a weight above 0 and at most 1, where 1 weighs all of the history alike")
