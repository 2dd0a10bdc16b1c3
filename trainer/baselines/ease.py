"""EASE: the closed-form linear item-item model whose items may not explain themselves.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019 (https://arxiv.org/abs/1905.03375), equation 8:
B = I - P diag(1 / diag P) with P = (XᵀX + λI)⁻¹.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from features.errors import RecstackError
from trainer.baselines.contract import (
    Baseline,
    Grid,
    fill_with_popularity,
    require_count,
    require_decay,
    require_positive,
    without_history,
)
from trainer.baselines.inverse import NotPositiveDefiniteError, invert_in_place
from trainer.metrics.protocol import EvaluationSet, Float, Int, Interactions


@dataclass(frozen=True)
class EASEScorer:
    """Scores the fitted items by history times weights; the others follow by popularity."""

    items: Int
    """`[fitted] int64`: the item rows that have weights."""
    weights: Float
    """`[fitted, fitted] float32`: from history item to scored item."""
    decay: float
    """Weight of a history item relative to the next newer one."""
    popularity: Int
    """`[num_items] int64`: the order of other items, and for queries without history."""

    def score(self, queries: EvaluationSet) -> Float:
        """Returns `[queries, num_items] float32`."""
        fitted = queries.history_matrix(self.decay)[:, self.items] @ self.weights
        share = self.popularity / (1.0 + self.popularity.max(initial=0))
        scores = (fitted.min(axis=1, keepdims=True, initial=0.0) - 1.0 + share).astype(np.float32)
        scores[:, self.items] = fitted
        return fill_with_popularity(scores, without_history(queries), self.popularity)


@dataclass(frozen=True, kw_only=True)
class EASE(Baseline):
    """Ridge regression of each item on all others."""

    l2: float = 300.0
    """λ, in events: added to the number of users of each item."""
    decay: float = 1.0
    """Weight of a history item relative to the next newer one when scoring; 1 weighs all alike."""
    max_items: int = 20_000
    """Items fitted, the most popular ones: memory is 6 bytes times the square, work grows with the cube."""
    grid: ClassVar[Grid] = {"l2": (30.0, 100.0, 300.0, 1000.0), "decay": (1.0, 0.8, 0.6)}

    def __post_init__(self) -> None:
        require_positive("ease.l2", self.l2)
        require_decay("ease.decay", self.decay)
        require_count("ease.max_items", self.max_items)

    def fit(self, interactions: Interactions) -> EASEScorer:
        """Inverts the regularised Gram matrix.

        Raises:
            RecstackError: if `l2` is too small for the matrix to be inverted in float32.
        """
        popular = np.argsort(-interactions.popularity, kind="stable")[: self.max_items]
        items = np.sort(popular).astype(np.int64)
        matrix = interactions.binary_matrix[:, items]
        gram: Float = (matrix.T @ matrix).toarray()
        gram[np.diag_indices_from(gram)] += self.l2
        try:
            invert_in_place(gram)
        except NotPositiveDefiniteError as error:
            raise RecstackError(
                f"ease.l2 = {self.l2}: the matrix cannot be inverted in float32; expected a larger value"
            ) from error
        gram /= -gram.diagonal().copy()
        np.fill_diagonal(gram, 0.0)
        return EASEScorer(items, gram, self.decay, interactions.popularity)
