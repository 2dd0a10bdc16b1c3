"""Item-based collaborative filtering: people who took this also took that.

Deshpande and Karypis, "Item-Based Top-N Recommendation Algorithms", ACM TOIS 22(1), 2004: users with many items count
less (section 4.1.1), similarities are summed over the history (section 4.2). The weight of popular items follows their
section 4.1.2, the decay of older history items Ding and Li, "Time Weight Collaborative Filtering", CIKM 2005.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from features.errors import ConfigError
from trainer.baselines.contract import Baseline, Grid, fill_with_popularity, require_count, require_decay
from trainer.baselines.similarity import keep_largest, scale_rows
from trainer.metrics.protocol import EvaluationSet, Float, Int, Interactions

_BLOCK_PAIRS = 32_000_000
"""Similarities held at once, at most, before the neighbours are chosen: 12 bytes each."""


@dataclass(frozen=True)
class ItemCFScorer:
    """Scores item j by the sum of its similarities to the items of the history, newer ones weighing more."""

    similarities: sp.csr_array
    """`[num_items, num_items] float32`, sparse: row i holds the neighbours of item i."""
    decay: float
    """Weight of a history item relative to the next newer one."""
    popularity: Int
    """`[num_items] int64`: the order of items that no history item points to."""

    def score(self, queries: EvaluationSet) -> Float:
        """Returns `[queries, num_items] float32`."""
        scores: Float = (queries.history_matrix(self.decay) @ self.similarities).toarray()
        return fill_with_popularity(scores, scores == 0.0, self.popularity)


@dataclass(frozen=True, kw_only=True)
class ItemCF(Baseline):
    """Similarity of items by the users they share; the nearest neighbours of each item are kept."""

    decay: float = 1.0
    """Weight of a history item relative to the next newer one; 1 weighs all alike."""
    user_exponent: float = 0.5
    """A user of n items is scaled by n to the power of minus this: 0 counts users alike, 0.5 is unit length."""
    popularity_exponent: float = 0.5
    """Similarities are divided by both items' squared lengths to this power: 0.5 is the cosine, less favours popular
    items."""
    num_neighbours: int = 500
    """Neighbours kept of each item."""
    grid: ClassVar[Grid] = {
        "decay": (1.0, 0.9, 0.8, 0.6),
        "user_exponent": (0.0, 0.25, 0.5),
        "popularity_exponent": (0.5, 0.4, 0.3),
        "num_neighbours": (100, 500, 2000),
    }

    def __post_init__(self) -> None:
        require_decay("item_cf.decay", self.decay)
        require_count("item_cf.num_neighbours", self.num_neighbours)
        for name in ("user_exponent", "popularity_exponent"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"item_cf.{name}", getattr(self, name), "an exponent from 0 to 1")

    def fit(self, interactions: Interactions) -> ItemCFScorer:
        """Computes the similarities block by block and keeps the nearest."""
        taken = interactions.binary_matrix
        users = scale_rows(taken, taken.sum(axis=1), -self.user_exponent)
        items = users.T.tocsr()
        vectors = scale_rows(items, items.multiply(items).sum(axis=1), -self.popularity_exponent)
        others = vectors.T.tocsr()
        blocks = [
            keep_largest(_without_self(vectors[start:stop] @ others, start), self.num_neighbours)
            for start, stop in _item_blocks(taken)
        ]
        return ItemCFScorer(sp.vstack(blocks, format="csr"), self.decay, interactions.popularity)


def _without_self(similarities: sp.csr_array, first: int) -> sp.csr_array:
    rows = np.repeat(np.arange(similarities.shape[0]), np.diff(similarities.indptr))
    others = similarities.indices != rows + first
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[others], minlength=similarities.shape[0]))])
    return sp.csr_array((similarities.data[others], similarities.indices[others], indptr), shape=similarities.shape)


def _item_blocks(taken: sp.csr_array) -> list[tuple[int, int]]:
    """Runs of items whose similarities fit in `_BLOCK_PAIRS`, by the number of pairs their users' items form."""
    pairs_of_item = np.minimum(taken.T @ np.diff(taken.indptr).astype(np.float64), taken.shape[1])
    block_of_item = (np.cumsum(pairs_of_item) // _BLOCK_PAIRS).astype(np.int64)
    edges = np.flatnonzero(np.diff(block_of_item, prepend=-1, append=np.iinfo(np.int64).max))
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
