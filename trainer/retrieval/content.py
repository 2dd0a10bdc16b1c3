"""What the encoded features of items say, as sparse rows: values weighed by how rare they are (TF-IDF)."""

import numpy as np
import scipy.sparse as sp

from trainer.data.events import Float32, Int64

MOST_COMPONENTS_OF_A_NUMBER = 2
"""Dense features of no more components are numbers, whose direction says nothing."""


def one_hot(values: Int64, first: int, size: int) -> sp.csr_array:
    """`[items, size] float32` of `[items]` or `[items, width] int32`, where indices before `first` say nothing."""
    values = values[:, None] if values.ndim == 1 else values
    items, places = np.nonzero(values >= first)
    indices = values[items, places]
    found = sp.csr_array((np.ones(len(indices), np.float32), (items, indices)), shape=(len(values), size))
    found.data[:] = 1.0  # once, however often a word is there
    return found


def rarity(values: sp.csr_array) -> Float32:
    """`[values] float32`: the logarithm of how rare each value is among the items."""
    holders = np.bincount(values.indices, minlength=values.shape[1])
    weights: Float32 = np.log((1 + values.shape[0]) / (1 + holders)).astype(np.float32)
    return weights


def times(rows: sp.csr_array, weights: Float32) -> sp.csr_array:
    """The rows with each column times its weight."""
    return (rows @ sp.diags_array(weights)).tocsr()


def lengths_of(rows: sp.csr_array) -> Float32:
    """`[items] float32`: the lengths of the rows."""
    lengths: Float32 = np.sqrt((rows * rows).sum(axis=1))
    return lengths


def unit(rows: sp.csr_array) -> sp.csr_array:
    """The rows at length one; empty ones stay empty."""
    return (sp.diags_array((1 / np.maximum(lengths_of(rows), 1e-12)).astype(np.float32)) @ rows).tocsr()
