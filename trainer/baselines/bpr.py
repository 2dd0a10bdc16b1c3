"""BPR: matrix factorisation that ranks taken items above others, pair by pair.

Rendle, Freudenthaler, Gantner and Schmidt-Thieme, "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009
(https://arxiv.org/abs/1205.2618), BPR-Opt with matrix factorisation; fitted by the `implicit` library, which draws the
other item of a pair by popularity. An unknown user gets the mean of the factors of its history's items.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from implicit.cpu.bpr import BayesianPersonalizedRanking

from trainer.baselines.contract import (
    Baseline,
    Grid,
    fill_with_popularity,
    require_count,
    require_positive,
    without_history,
)
from trainer.metrics.protocol import UNKNOWN, EvaluationSet, Float, Int, Interactions


@dataclass(frozen=True)
class BPRScorer:
    """Scores items by the inner product of user and item factors; the last item factor is its bias."""

    user_factors: Float
    """`[num_users, factors + 1] float32`: the last column is 1."""
    item_factors: Float
    """`[num_items, factors + 1] float32`."""
    popularity: Int
    """`[num_items] int64`: the order for unknown users without history."""

    def score(self, queries: EvaluationSet) -> Float:
        """Returns `[queries, num_items] float32`."""
        unknown = queries.user_rows == UNKNOWN
        factors = self.user_factors[queries.user_rows]
        means = queries.history_matrix() @ self.item_factors / np.maximum(queries.history.lengths, 1)[:, None]
        factors[unknown, :-1] = means[unknown, :-1]
        factors[unknown, -1] = 1.0
        silent = unknown[:, None] & without_history(queries)
        return fill_with_popularity(factors @ self.item_factors.T, silent, self.popularity)


@dataclass(frozen=True, kw_only=True)
class BPR(Baseline):
    """Stochastic gradient descent on sampled pairs of a taken and another item."""

    factors: int = 64
    """Length of the factors."""
    learning_rate: float = 0.05
    """Step of the gradient descent."""
    regularisation: float = 0.03
    """L2 penalty on the factors."""
    iterations: int = 100
    """Passes over the train events."""
    seed: int = 0
    """Seed of the initial factors and the samples."""
    grid: ClassVar[Grid] = {"learning_rate": (0.02, 0.05, 0.1, 0.2), "regularisation": (0.01, 0.03, 0.1)}

    def __post_init__(self) -> None:
        require_count("bpr.factors", self.factors)
        require_count("bpr.iterations", self.iterations)
        require_positive("bpr.learning_rate", self.learning_rate)
        require_positive("bpr.regularisation", self.regularisation)

    def fit(self, interactions: Interactions) -> BPRScorer:
        """Fits user and item factors."""
        # One thread: with more, implicit updates shared factors without locks and no two fits are alike.
        model = BayesianPersonalizedRanking(
            factors=self.factors,
            learning_rate=self.learning_rate,
            regularization=self.regularisation,
            iterations=self.iterations,
            num_threads=1,
            random_state=self.seed,
        )
        model.fit(sp.csr_matrix(interactions.binary_matrix), show_progress=False)
        return BPRScorer(model.user_factors, model.item_factors, interactions.popularity)
