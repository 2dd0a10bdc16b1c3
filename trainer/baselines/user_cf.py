"""User-based collaborative filtering: what the most similar train users took.

Breese, Heckerman and Kadie, "Empirical Analysis of Predictive Algorithms for Collaborative Filtering", UAI 1998, with
the vector similarity of section 2.1, for sets of items instead of ratings.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from trainer.baselines.contract import Baseline, Grid, fill_with_popularity, require_count
from trainer.baselines.similarity import keep_largest, unit_rows
from trainer.metrics.protocol import EvaluationSet, Float, Int, Interactions


@dataclass(frozen=True)
class UserCFScorer:
    """Scores an item by the summed similarity of the nearest train users who took it."""

    users: sp.csr_array
    """`[num_users, num_items] float32`, sparse: 1 where a train user took an item."""
    unit_users: sp.csr_array
    """The same, each row of length 1."""
    num_neighbours: int
    """Nearest users asked."""
    popularity: Int
    """`[num_items] int64`: the order of items that no neighbour took."""

    def score(self, queries: EvaluationSet) -> Float:
        """Returns `[queries, num_items] float32`."""
        similarities = unit_rows(queries.history_matrix()) @ self.unit_users.T.tocsr()
        rows = np.repeat(np.arange(len(queries)), np.diff(similarities.indptr))
        # A user is not a neighbour of itself: it would recommend what it has taken.
        similarities.data[similarities.indices == queries.user_rows[rows]] = 0.0
        scores: Float = (keep_largest(similarities, self.num_neighbours) @ self.users).toarray()
        return fill_with_popularity(scores, scores == 0.0, self.popularity)


@dataclass(frozen=True, kw_only=True)
class UserCF(Baseline):
    """Cosine similarity of the query's history and the train users' items."""

    num_neighbours: int = 200
    """Nearest users asked."""
    grid: ClassVar[Grid] = {"num_neighbours": (25, 50, 100, 200, 400)}

    def __post_init__(self) -> None:
        require_count("user_cf.num_neighbours", self.num_neighbours)

    def fit(self, interactions: Interactions) -> UserCFScorer:
        """Keeps the train matrix; the work is done when queries are scored."""
        users = interactions.binary_matrix
        return UserCFScorer(users, unit_rows(users), self.num_neighbours, interactions.popularity)
