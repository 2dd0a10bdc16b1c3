"""Cosine similarity between sparse rows, and the nearest neighbours of each."""

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from trainer.metrics.top_k import largest


def unit_rows(matrix: sp.csr_array) -> sp.csr_array:
    """Scales each row to length 1; empty rows stay empty."""
    return scale_rows(matrix, matrix.multiply(matrix).sum(axis=1), -0.5)


def scale_rows(matrix: sp.csr_array, sizes: npt.NDArray[np.float32], exponent: float) -> sp.csr_array:
    """Multiplies each row by its size (`[rows]`, 0 only for an empty row) to the power of `exponent`."""
    return sp.diags_array((np.maximum(sizes, 1e-12) ** exponent).astype(np.float32)) @ matrix


def keep_largest(matrix: sp.csr_array, k: int) -> sp.csr_array:
    """Keeps the k largest stored values of each row; of equal ones those of the lowest columns."""
    matrix.sort_indices()
    lengths = np.diff(matrix.indptr)
    if lengths.max(initial=0) <= k:
        return matrix
    kept = np.ones(len(matrix.data), dtype=np.bool_)
    for row in np.flatnonzero(lengths > k):
        values = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]]
        kept[matrix.indptr[row] : matrix.indptr[row + 1]] = largest(values, k)
    indptr = np.concatenate([[0], np.cumsum(np.minimum(lengths, k))])
    return sp.csr_array((matrix.data[kept], matrix.indices[kept], indptr), shape=matrix.shape)
