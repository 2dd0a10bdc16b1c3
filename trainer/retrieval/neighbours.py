"""Vectors of items that training has not seen, from the items that resemble them most.

Where an item has no embedding of its own, those of its neighbours by attributes stand in for it: the mapping by
nearest neighbours of Gantner et al. 2010 (https://doi.org/10.1109/ICDM.2010.129, section IV-A). The item bias is mapped
with the rest, so that an item starts as popular as similar items.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from trainer.data.catalogue import EncodedCatalogue
from trainer.data.events import Float32, Int64
from trainer.retrieval.content import MOST_COMPONENTS_OF_A_NUMBER, one_hot, rarity, times, unit

_ITEMS_A_BLOCK = 1024
# Cosines of as many items with all others as are held at once.
_BLOCK_BYTES = 64 << 20


class Neighbours(NamedTuple):
    """The items that some items resemble."""

    of: Int64
    """`[n]`: rows of the catalogue, of items that training has not seen and that resemble some that it has."""
    rows: Int64
    """`[n, k]`: rows of the items that they resemble."""
    weights: Float32
    """`[n, k]`: of these, with the sum 1."""

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """`[n, d] float32`: the weighted mean of the neighbours' rows of `values`, `[items, d] float32`."""
        starts = range(0, len(self.of), _ITEMS_A_BLOCK)
        blocks = [(self.rows[at : at + _ITEMS_A_BLOCK], self.weights[at : at + _ITEMS_A_BLOCK]) for at in starts]
        return tf.concat([tf.einsum("nk,nkd->nd", weights, tf.gather(values, rows)) for rows, weights in blocks], 0)


@lru_cache(maxsize=2)
def neighbours_of_new(
    candidates: EncodedCatalogue, item_id: str, first_index: int, compared: tuple[tuple[str, int], ...], count: int
) -> Neighbours:
    """Finds them by the cosine of their features: values weighed by how rare they are (TF-IDF), and vectors.

    Args:
        candidates: The catalogue.
        item_id: Name of the items' id.
        first_index: First index of the ids that training has seen.
        compared: Features to compare by, without the id, and how many of the first indices of each stand for missing
            and unknown values, which say nothing.
        count: k, neighbours of an item at most.
    """
    is_new = candidates.without_events(item_id, first_index)
    known, new = np.flatnonzero(~is_new), np.flatnonzero(is_new)
    features = _features(candidates, compared)
    count = min(count, len(known))
    of_known = features[known].T.tocsr()
    rows, weights = np.zeros([len(new), count], np.int64), np.zeros([len(new), count], np.float32)
    size = max(1, _BLOCK_BYTES // (4 * max(1, len(known))))
    for start in range(0, len(new), size):
        block = slice(start, start + size)
        cosines = (features[new[block]] @ of_known).toarray()
        best = np.argpartition(-cosines, count - 1, axis=1)[:, :count] if count else rows[block]
        # Squared, so that a near twin counts more than many that share a word.
        rows[block], weights[block] = known[best], np.take_along_axis(cosines, best, axis=1).clip(0) ** 2
    total = weights.sum(axis=1)
    some = total > 0
    return Neighbours(new[some], rows[some], weights[some] / total[some, None])


def _features(candidates: EncodedCatalogue, compared: Sequence[tuple[str, int]]) -> sp.csr_array:
    """`[items, values] float32`: one row an item, of length 1 or empty."""
    encoded = [(candidates.features[name].numpy(), first) for name, first in compared]
    discrete = [
        one_hot(values, first, int(values.max(initial=0)) + 1) for values, first in encoded if values.dtype == np.int32
    ]
    numbers = [values for values, _ in encoded if values.dtype != np.int32]
    dense = [sp.csr_array(values) for values in numbers if values.shape[1] > MOST_COMPONENTS_OF_A_NUMBER]
    empty = sp.csr_array((len(candidates), 1), dtype=np.float32)
    values = sp.hstack([empty, *discrete], "csr")
    return unit(sp.hstack([unit(times(values, rarity(values))), *map(unit, dense)], "csr"))
