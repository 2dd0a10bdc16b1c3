"""PureSVD: the history projected on the leading right singular vectors of the train matrix.

Cremonesi, Koren and Turrin, "Performance of Recommender Algorithms on Top-N Recommendation Tasks", RecSys 2010,
equation 12: scores = r Q Qᵀ, with missing entries as zeros; computed by the randomised method of Halko, Martinsson and
Tropp (https://arxiv.org/abs/0909.4061).
"""

from dataclasses import dataclass
from typing import ClassVar

from sklearn.utils.extmath import randomized_svd

from trainer.baselines.contract import Baseline, Grid, fill_with_popularity, require_count, without_history
from trainer.metrics.protocol import EvaluationSet, Float, Int, Interactions


@dataclass(frozen=True)
class SVDScorer:
    """Scores items by the projection of the history."""

    item_factors: Float
    """`[num_items, factors] float32`: the right singular vectors."""
    popularity: Int
    """`[num_items] int64`: the order for queries without history."""

    def score(self, queries: EvaluationSet) -> Float:
        """Returns `[queries, num_items] float32`."""
        scores: Float = (queries.history_matrix() @ self.item_factors) @ self.item_factors.T
        return fill_with_popularity(scores, without_history(queries), self.popularity)


@dataclass(frozen=True, kw_only=True)
class SVD(Baseline):
    """Truncated singular value decomposition of the binary train matrix."""

    factors: int = 64
    """Singular vectors kept."""
    seed: int = 0
    """Seed of the random projection that the decomposition starts from."""
    grid: ClassVar[Grid] = {"factors": (16, 32, 64, 128, 256)}

    def __post_init__(self) -> None:
        require_count("svd.factors", self.factors)

    def fit(self, interactions: Interactions) -> SVDScorer:
        """Decomposes the train matrix."""
        factors = min(self.factors, interactions.num_users, interactions.num_items)
        _, _, item_vectors = randomized_svd(interactions.binary_matrix, factors, n_iter=4, random_state=self.seed)
        return SVDScorer(item_vectors.T.astype("float32"), interactions.popularity)
