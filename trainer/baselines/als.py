"""Implicit ALS: matrix factorisation weighted by confidence, alternating least squares.

Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008; fitted by the `implicit`
library with the conjugate gradient method of Takács, Pilászy and Tikk (RecSys 2011). A query's factors are solved anew
from its history by equation 4, so unknown users and histories newer than train are served alike.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from trainer.baselines.contract import (
    Baseline,
    Grid,
    fill_with_popularity,
    require_count,
    require_positive,
    without_history,
)
from trainer.metrics.protocol import EvaluationSet, Float, Int, Interactions


@dataclass(frozen=True)
class ALSScorer:
    """Scores items by the inner product with factors solved from the history."""

    model: AlternatingLeastSquares
    """Holds the item factors, `[num_items, factors] float32`."""
    confidence: float
    """Confidence in a history item."""
    popularity: Int
    """`[num_items] int64`: the order for queries without history."""

    def score(self, queries: EvaluationSet) -> Float:
        """Returns `[queries, num_items] float32`."""
        history = sp.csr_matrix(queries.history_matrix() * np.float32(self.confidence))
        with threadpool_limits(1, "blas"):
            factors: Float = self.model.recalculate_user(np.arange(len(queries)), history)
        scores = factors @ self.model.item_factors.T
        return fill_with_popularity(scores, without_history(queries), self.popularity)


@dataclass(frozen=True, kw_only=True)
class ALS(Baseline):
    """Confidence 1 + alpha r in a pair, where r is its summed weight divided by the mean over pairs."""

    factors: int = 64
    """Length of the factors."""
    alpha: float = 5.0
    """How much more a taken item counts than one not taken."""
    regularisation: float = 0.1
    """L2 penalty on the factors."""
    iterations: int = 15
    """Alternations."""
    seed: int = 0
    """Seed of the initial factors."""
    grid: ClassVar[Grid] = {
        "factors": (32, 64, 128),
        "alpha": (1.0, 5.0, 20.0),
        "regularisation": (0.1, 1.0, 10.0, 30.0),
    }

    def __post_init__(self) -> None:
        require_count("als.factors", self.factors)
        require_count("als.iterations", self.iterations)
        require_positive("als.alpha", self.alpha)
        require_positive("als.regularisation", self.regularisation)

    def fit(self, interactions: Interactions) -> ALSScorer:
        """Fits the item factors."""
        confidences = sp.csr_matrix(interactions.matrix)
        confidences.data = 1.0 + self.alpha * confidences.data / confidences.data.mean()
        # implicit parallelises over users and items and warns of BLAS calls that start threads of their own beneath.
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularisation,
                iterations=self.iterations,
                random_state=self.seed,
            )
            model.fit(confidences, show_progress=False)
        return ALSScorer(model, 1.0 + self.alpha, interactions.popularity)
