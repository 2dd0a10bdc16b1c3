import numpy as np
import pytest

from trainer.baselines import inverse
from trainer.baselines.inverse import NotPositiveDefiniteError, invert_in_place


@pytest.mark.parametrize("lapack_rows", [1, 4, 5, 100])
@pytest.mark.parametrize("size", [1, 2, 9, 40])
def test_inverse_is_the_same_however_it_is_cut(monkeypatch: pytest.MonkeyPatch, size: int, lapack_rows: int) -> None:
    monkeypatch.setattr(inverse, "_LAPACK_ROWS", lapack_rows)
    factor = np.random.default_rng(size).normal(size=(size, 2 * size))
    matrix = factor @ factor.T + size * np.eye(size)
    inverted = matrix.astype(np.float32)
    invert_in_place(inverted)
    np.testing.assert_allclose(inverted @ matrix, np.eye(size), atol=1e-4)
    np.testing.assert_allclose(inverted, inverted.T, atol=1e-6)


@pytest.mark.parametrize("lapack_rows", [1, 100])
def test_indefinite_matrices_are_refused(monkeypatch: pytest.MonkeyPatch, lapack_rows: int) -> None:
    monkeypatch.setattr(inverse, "_LAPACK_ROWS", lapack_rows)
    with pytest.raises(NotPositiveDefiniteError):
        invert_in_place(np.array([[1, 2], [2, 1]], dtype=np.float32))
