"""Content-based: items whose texts or attributes resemble those of the history. Works for items train never saw.

TF-IDF vectors and cosine after Salton and Buckley, "Term-Weighting Approaches in Automatic Text Retrieval", 1988; the
profile as the weighted sum of the history's vectors after Pazzani and Billsus, "Content-Based Recommendation Systems",
in The Adaptive Web, 2007, section 10.3 (Rocchio without negative examples).
"""

import re
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer

from features.errors import InputError
from trainer.baselines.contract import Baseline, Grid, fill_with_popularity, require_decay
from trainer.baselines.similarity import unit_rows
from trainer.metrics.protocol import EvaluationSet, Float, Int, Interactions


@dataclass(frozen=True)
class ContentScorer:
    """Scores an item by the cosine of its vector and the history's profile."""

    vectors: sp.csr_array
    """`[num_items, terms] float32`, sparse: each row of length 1, or empty."""
    decay: float
    """Weight of a history item relative to the next newer one."""
    popularity: Int
    """`[num_items] int64`: the order of items that share no term with the profile."""

    def score(self, queries: EvaluationSet) -> Float:
        """Returns `[queries, num_items] float32`."""
        profiles = unit_rows(queries.history_matrix(self.decay) @ self.vectors)
        scores: Float = (profiles @ self.vectors.T.tocsr()).toarray()
        return fill_with_popularity(scores, scores == 0.0, self.popularity)


@dataclass(frozen=True, kw_only=True)
class Content(Baseline):
    """TF-IDF over the words of each item."""

    item_texts: tuple[str, ...] = field(repr=False)
    """The text of each item, in the order of the item rows: words and attribute values, separated by spaces."""
    decay: float = 0.9
    """Weight of a history item relative to the next newer one; 1 weighs all alike."""
    grid: ClassVar[Grid] = {"decay": (1.0, 0.9, 0.8, 0.6)}

    def __post_init__(self) -> None:
        require_decay("content.decay", self.decay)
        if not any(re.search(r"\w", text) for text in self.item_texts):
            raise InputError(
                "the content baseline needs item texts, and no item has any: describe items by a text or categorical "
                "feature, or leave `content` out of the baselines"
            )

    def fit(self, interactions: Interactions) -> ContentScorer:
        """Computes the vectors of all items, those without train events too.

        Raises:
            ValueError: if there is not one text an item.
        """
        if len(self.item_texts) != interactions.num_items:
            raise ValueError(f"expected {interactions.num_items} item texts, got {len(self.item_texts)}")
        # scikit-learn's own pattern leaves out words of one character, and attribute values often have no more.
        vectoriser = TfidfVectorizer(token_pattern=r"\b\w+\b", dtype=np.float32, sublinear_tf=True)
        vectors = sp.csr_array(vectoriser.fit_transform(self.item_texts))
        return ContentScorer(vectors, self.decay, interactions.popularity)
