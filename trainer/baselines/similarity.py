"""Cosine similarity between sparse rows, and the nearest neighbours of each."""

import numpy as np
import scipy.sparse as sp

from trainer.evaluation.scoring import largest


def unit_rows(matrix: sp.csr_array) -> sp.csr_array:
    """Scales each row to length 1; empty rows stay empty."""
    norms = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    return sp.diags_array((1.0 / np.maximum(norms, 1e-12)).astype(np.float32)) @ matrix


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
