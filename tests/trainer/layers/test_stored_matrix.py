"""Stored matrices against the formula of their rounding, at every precision."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.config.export import Precision
from trainer.layers.stored_matrix import StoredMatrix

VALUES = np.random.default_rng(0).normal(size=(7, 12)).astype(np.float32) * np.logspace(-3, 3, 7)[:, None].astype("f4")
BYTES = {"float32": 7 * 12 * 4, "float16": 7 * 12 * 2, "int8": 7 * 12 + 7 * 4}


@pytest.mark.parametrize("precision", BYTES)
def test_rows_are_rounded_by_the_formula(precision: Precision) -> None:
    matrix, scale = StoredMatrix(VALUES, precision, "m"), np.abs(VALUES).max(axis=1, keepdims=True) / 127
    expected = {
        "float32": VALUES,
        "float16": VALUES.astype(np.float16).astype(np.float32),
        "int8": np.rint(VALUES / scale) * scale,
    }[precision]
    np.testing.assert_allclose(matrix.whole(), expected, rtol=1e-6)
    rows = np.array([[3, 0], [6, 6]])
    np.testing.assert_array_equal(matrix.rows(rows), matrix.whole().numpy()[rows])
    assert matrix.num_bytes == BYTES[precision]


def test_int8_is_off_by_half_a_step_of_its_row_at_most() -> None:
    error = np.abs(StoredMatrix(VALUES, "int8", "m").whole() - VALUES)
    assert (error <= np.abs(VALUES).max(axis=1, keepdims=True) / 254 * 1.001).all()
    assert error.max() > 0


@pytest.mark.parametrize("precision", BYTES)
@pytest.mark.parametrize("values", [np.zeros((2, 8)), np.full((1, 8), 1e30), np.zeros((0, 8)), np.full((3, 8), -1e-30)])
def test_extreme_rows_stay_finite(precision: Precision, values: np.ndarray) -> None:
    found = StoredMatrix(values.astype(np.float32), precision, "m").whole().numpy()
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(np.sign(found) * (np.abs(values) > 1e-20), np.sign(values) * (np.abs(values) > 1e-20))


def test_short_rows_are_float16_where_int8_with_its_scale_would_be_larger() -> None:
    short, long = (StoredMatrix(VALUES[:, :columns], "int8", "m") for columns in (4, 5))
    assert (short.values.dtype, long.values.dtype) == (tf.float16, tf.int8)
    assert short.num_bytes <= 7 * (4 + 4)
