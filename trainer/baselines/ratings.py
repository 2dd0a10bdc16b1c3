"""Baselines that predict numbers, such as ratings, for pairs of a user and an item.

Each adds to the one before it: the mean of all labels; deviations of users and items from it; and factors of what these
leave, by a truncated decomposition or by least squares over the known pairs alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from trainer.metrics.protocol import UNKNOWN, Int

Values = npt.NDArray[np.float64]
Grid = Mapping[str, Sequence[float]]
_ROWS_A_BLOCK = 10_000


@dataclass(frozen=True, kw_only=True)
class RatedPairs:
    """Pairs with numeric labels."""

    user_rows: Int
    """`[n] int64`; `UNKNOWN` for a user without a row, of whom nothing is learnt."""
    item_rows: Int
    """`[n] int64`."""
    labels: Values
    """`[n]`."""
    weights: Values
    """`[n]`: above 0."""
    num_users: int
    num_items: int

    def known(self) -> "RatedPairs":
        """The pairs of users with a row."""
        keep = self.user_rows != UNKNOWN
        return replace(
            self,
            user_rows=self.user_rows[keep],
            item_rows=self.item_rows[keep],
            labels=self.labels[keep],
            weights=self.weights[keep],
        )

    def matrix(self, values: Values) -> sp.csr_array:
        """`[users, items]`, sparse: the sum of the pairs' values, `[n]`."""
        return sp.csr_array((values, (self.user_rows, self.item_rows)), shape=(self.num_users, self.num_items))


@dataclass(frozen=True, kw_only=True)
class RatingScorer:
    """Label = mean + deviation of the user + deviation of the item + product of their factors."""

    mean: float
    of_users: Values
    """`[users]`."""
    of_items: Values
    """`[items]`."""
    user_factors: Values
    """`[users, d]`; d may be 0."""
    item_factors: Values
    """`[items, d]`."""

    def predict(self, user_rows: Int, item_rows: Int) -> Values:
        """Predicts pairs, `[n] float64`; an unknown user has no deviation and no factors."""
        is_known = user_rows != UNKNOWN
        users = np.where(is_known, user_rows, 0)
        of_user = self.of_users[users] + np.einsum("nd,nd->n", self.user_factors[users], self.item_factors[item_rows])
        predicted: Values = self.mean + self.of_items[item_rows] + np.where(is_known, of_user, 0.0)
        return predicted


@dataclass(frozen=True, kw_only=True)
class RatingBaseline(ABC):
    """The contract: parameters with a grid of values to choose from on validation."""

    grid: ClassVar[Grid] = {}

    @abstractmethod
    def fit(self, pairs: RatedPairs) -> RatingScorer:
        """Fits at least one pair."""

    def variants(self) -> Iterator["RatingBaseline"]:
        """The baseline with each combination of the grid's values."""
        for values in product(*self.grid.values()):
            chosen: dict[str, Any] = dict(zip(self.grid, values, strict=True))
            yield replace(self, **chosen)


@dataclass(frozen=True, kw_only=True)
class GlobalMean(RatingBaseline):
    """The mean of all labels."""

    def fit(self, pairs: RatedPairs) -> RatingScorer:
        """Averages."""
        return RatingScorer(
            mean=float(np.average(pairs.labels, weights=pairs.weights)),
            of_users=np.zeros(pairs.num_users),
            of_items=np.zeros(pairs.num_items),
            user_factors=np.zeros((pairs.num_users, 0)),
            item_factors=np.zeros((pairs.num_items, 0)),
        )


@dataclass(frozen=True, kw_only=True)
class UserItemMeans(RatingBaseline):
    """Deviations of users and items from the mean, with an L2 penalty, by alternating least squares.

    Koren, "Factor in the Neighbors: Scalable and Accurate Collaborative Filtering", TKDD 2010, section 2.1.
    """

    regularisation: float = 5.0
    """Pairs without a deviation that join those of each user and item."""
    iterations: int = 10
    """Alternations."""
    grid: ClassVar[Grid] = {"regularisation": (1.0, 2.0, 5.0, 10.0, 25.0)}

    def fit(self, pairs: RatedPairs) -> RatingScorer:
        """Alternates between items and users."""
        start, known = GlobalMean().fit(pairs), pairs.known()
        left = known.labels - start.mean
        of_users, of_items = start.of_users, start.of_items
        for _ in range(self.iterations):
            of_items = self._deviations(known, known.item_rows, left - of_users[known.user_rows], known.num_items)
            of_users = self._deviations(known, known.user_rows, left - of_items[known.item_rows], known.num_users)
        return replace(start, of_users=of_users, of_items=of_items)

    def _deviations(self, pairs: RatedPairs, rows: Int, left: Values, size: int) -> Values:
        sums = np.bincount(rows, pairs.weights * left, minlength=size)
        deviations: Values = sums / (np.bincount(rows, pairs.weights, minlength=size) + self.regularisation)
        return deviations


@dataclass(frozen=True, kw_only=True)
class RatingSVD(RatingBaseline):
    """Truncated singular value decomposition of what user and item means leave, with 0 for unknown pairs.

    Sarwar et al., "Application of Dimensionality Reduction in Recommender System", 2000, section 3.
    """

    factors: int = 8
    """Singular vectors kept."""
    regularisation: float = 5.0
    """Of the means."""
    grid: ClassVar[Grid] = {"factors": (2, 4, 8, 16, 32, 64), "regularisation": (2.0, 5.0, 10.0)}

    def fit(self, pairs: RatedPairs) -> RatingScorer:
        """Decomposes the matrix of residuals."""
        means, known = UserItemMeans(regularisation=self.regularisation).fit(pairs), pairs.known()
        matrix = known.matrix(known.labels - means.predict(known.user_rows, known.item_rows))
        factors = min(self.factors, known.num_users, known.num_items)
        left, values, right = randomized_svd(matrix, factors, n_iter=4, random_state=0)
        return replace(means, user_factors=left * values, item_factors=right.T)


@dataclass(frozen=True, kw_only=True)
class RatingALS(RatingBaseline):
    """Factors of what user and item means leave, by least squares over the known pairs with weighted regularisation.

    Zhou et al., "Large-Scale Parallel Collaborative Filtering for the Netflix Prize", AAIM 2008, Eq. 5.
    """

    factors: int = 16
    """Components."""
    penalty: float = 0.1
    """L2 penalty for each pair of a user or item."""
    regularisation: float = 5.0
    """Of the means."""
    iterations: int = 8
    """Alternations."""
    grid: ClassVar[Grid] = {"factors": (4, 16), "penalty": (0.05, 0.1, 0.2, 0.4), "regularisation": (2.0, 5.0)}

    def fit(self, pairs: RatedPairs) -> RatingScorer:
        """Alternates between users and items."""
        means, known = UserItemMeans(regularisation=self.regularisation).fit(pairs), pairs.known()
        left = known.labels - means.predict(known.user_rows, known.item_rows)
        weights, sums = known.matrix(known.weights), known.matrix(known.weights * left)
        by_item = weights.T.tocsr(), sums.T.tocsr()
        users = np.zeros((known.num_users, self.factors))
        items = np.random.default_rng(0).normal(scale=0.1, size=(known.num_items, self.factors))
        for _ in range(self.iterations):
            users = solved(weights, sums, items, self.penalty)
            items = solved(*by_item, users, self.penalty)
        return replace(means, user_factors=users, item_factors=items)


def solved(weights: sp.csr_array, sums: sp.csr_array, others: Values, penalty: float) -> Values:
    """Ridge regression of each row on the factors of its columns.

    Args:
        weights: `[rows, columns]`, sparse: weight of each pair.
        sums: `[rows, columns]`, sparse: weight times what is to be predicted.
        others: `[columns, d]`.
        penalty: For each unit of a row's weight.

    Returns:
        `[rows, d]`, 0 for rows without a pair.
    """
    size = others.shape[1]
    squares = (others[:, :, None] * others[:, None, :]).reshape(len(others), -1)
    blocks = []
    for start in range(0, weights.shape[0], _ROWS_A_BLOCK):
        block = weights[start : start + _ROWS_A_BLOCK]
        mass = np.asarray(block.sum(axis=1))
        products = (block @ squares).reshape(-1, size, size)
        ridge = np.where(mass > 0, penalty * mass, 1.0)[:, None, None] * np.eye(size)
        right = sums[start : start + _ROWS_A_BLOCK] @ others
        blocks.append(np.linalg.solve(products + ridge, right[..., None])[..., 0])
    return np.concatenate(blocks)


RATING_BASELINES: Mapping[str, RatingBaseline] = {
    "global_mean": GlobalMean(),
    "user_item_means": UserItemMeans(),
    "svd": RatingSVD(),
    "als": RatingALS(),
}
"""By name."""


def fit_tuned(baseline: RatingBaseline, train: RatedPairs, validation: RatedPairs | None) -> RatingScorer:
    """Fits the variant with the least squared error on validation, or the defaults where there is none."""
    if validation is None or len(validation.labels) == 0:
        return baseline.fit(train)

    def error(scorer: RatingScorer) -> float:
        predicted = scorer.predict(validation.user_rows, validation.item_rows)
        return float(np.average(np.square(predicted - validation.labels), weights=validation.weights))

    return min((variant.fit(train) for variant in baseline.variants()), key=error)
