"""Item-based collaborative filtering: people who took this also took that.

Deshpande and Karypis, "Item-Based Top-N Recommendation Algorithms", ACM TOIS 22(1), 2004, with the cosine similarity
of section 4.1 and scores summed over the history (section 4.2); the decay of older history items follows Ding and Li,
"Time Weight Collaborative Filtering", CIKM 2005.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from trainer.baselines.contract import Baseline, Grid, fill_with_popularity, require_count, require_decay
from trainer.baselines.similarity import keep_largest, unit_rows
from trainer.evaluation.protocol import EvaluationSet, Float, Int, Interactions

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
    """Cosine similarity of the sets of users, the nearest neighbours of each item kept."""

    num_neighbours: int = 500
    """Neighbours kept of each item."""
    decay: float = 1.0
    """Weight of a history item relative to the next newer one; 1 weighs all alike."""
    grid: ClassVar[Grid] = {"decay": (1.0, 0.9, 0.8, 0.6), "num_neighbours": (50, 100, 200, 500)}

    def __post_init__(self) -> None:
        require_count("item_cf.num_neighbours", self.num_neighbours)
        require_decay("item_cf.decay", self.decay)

    def fit(self, interactions: Interactions) -> ItemCFScorer:
        """Computes the similarities block by block and keeps the nearest."""
        vectors = unit_rows(interactions.binary_matrix.T.tocsr())
        users = vectors.T.tocsr()
        blocks = [
            keep_largest(_without_self(vectors[start:stop] @ users, start), self.num_neighbours)
            for start, stop in _item_blocks(interactions)
        ]
        similarities = sp.vstack(blocks, format="csr") if blocks else sp.csr_array((0, 0), dtype=np.float32)
        return ItemCFScorer(similarities, self.decay, interactions.popularity)


def _without_self(similarities: sp.csr_array, first: int) -> sp.csr_array:
    rows = np.repeat(np.arange(similarities.shape[0]), np.diff(similarities.indptr))
    others = similarities.indices != rows + first
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[others], minlength=similarities.shape[0]))])
    return sp.csr_array((similarities.data[others], similarities.indices[others], indptr), shape=similarities.shape)


def _item_blocks(interactions: Interactions) -> list[tuple[int, int]]:
    """Runs of items whose similarities fit in `_BLOCK_PAIRS`, by the number of pairs their users' baskets form."""
    matrix = interactions.binary_matrix
    pairs_of_item = matrix.T @ np.diff(matrix.indptr).astype(np.float64)
    pairs_of_item = np.minimum(pairs_of_item, interactions.num_items)
    block_of_item = (np.cumsum(pairs_of_item) // _BLOCK_PAIRS).astype(np.int64)
    edges = np.flatnonzero(np.diff(block_of_item, prepend=-1, append=np.iinfo(np.int64).max))
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
