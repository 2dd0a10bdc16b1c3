"""The inverse of a large symmetric positive definite matrix, in place."""

import numpy as np
from scipy.linalg import lapack

from trainer.metrics.protocol import Float

_LAPACK_ROWS = 8_192
"""Rows inverted at once. SciPy's LAPACK counts in 32 bits and crashes the process somewhere above 32,000 rows."""


class NotPositiveDefiniteError(ArithmeticError):
    """The matrix has no Cholesky decomposition in float32."""


def invert_in_place(matrix: Float) -> None:
    """Inverts a symmetric positive definite matrix, holding about half of its memory and 1 GiB besides.

    Larger matrices by halves: with A, B, D the blocks and S = D - Bᵀ A⁻¹ B, the inverse has the blocks
    A⁻¹ + A⁻¹ B S⁻¹ Bᵀ A⁻¹, - A⁻¹ B S⁻¹ and S⁻¹ (Horn and Johnson, Matrix Analysis, section 0.7.3).

    Args:
        matrix: `[n, n] float32`; overwritten.

    Raises:
        NotPositiveDefiniteError: if it is not positive definite in float32; `matrix` is spoilt.
    """
    if len(matrix) <= _LAPACK_ROWS:
        _invert_by_lapack(matrix)
        return
    half = len(matrix) // 2
    first, cross, last = matrix[:half, :half], matrix[:half, half:], matrix[half:, half:]
    invert_in_place(first)
    solved = first @ cross
    last -= cross.T @ solved
    invert_in_place(last)
    cross[:] = solved @ last
    np.negative(cross, out=cross)
    first -= cross @ solved.T
    matrix[half:, :half] = cross.T


def _invert_by_lapack(matrix: Float) -> None:
    factor, failed = lapack.spotrf(matrix, lower=1)
    if failed:
        raise NotPositiveDefiniteError
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    # Only the lower triangle is filled.
    matrix[:] = np.tril(inverse)
    matrix += np.tril(inverse, -1).T
