"""Vectors against NumPy."""

import dataclasses
import math

import numpy as np
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st

from features.encoding.signature import raw_missing
from features.encoding.vector import encode_vectors
from features.spec.vector import VectorFeature

COVER = VectorFeature(name="cover", length=3)
# TensorFlow's kernels take subnormal numbers for zero, so none is drawn.
normal_floats = st.floats(width=32, allow_subnormal=False)


@given(st.lists(normal_floats, min_size=3, max_size=3))
@example([3e38, -3e38, 3e38])
@example([1e-30, 0.0, 0.0])
@example([0.0, 0.0, 0.0])
def test_a_vector_has_length_one_or_is_missing(values: list[float]) -> None:
    *vector, missing = encode_vectors(tf.constant([values], tf.float32), COVER).numpy()[0]
    exact = np.array(values)
    is_whole = bool(np.isfinite(exact).all())
    assert missing == float(not is_whole)
    length = np.linalg.norm(exact) if is_whole else 0.0
    np.testing.assert_allclose(vector, exact / length if length > 0 else np.zeros(3), rtol=1e-5, atol=1e-6)


def test_a_vector_that_is_not_normalised_stays_as_it_is() -> None:
    as_it_is = dataclasses.replace(COVER, normalise=False)
    rows = tf.constant([[3.0, 0.0, 4.0], [math.nan, 1.0, 1.0]])
    assert encode_vectors(rows, as_it_is).numpy().tolist() == [[3, 0, 4, 0], [0, 0, 0, 1]]


def test_a_missing_vector_is_an_empty_list_in_records_and_nan_in_requests() -> None:
    of_records = tf.RaggedTensor.from_row_splits(tf.constant([0.0, 2.0, 0.0]), [0, 3, 3])
    of_requests = tf.constant([[0.0, 2.0, 0.0], [math.nan] * 3])
    expected = [[0, 1, 0, 0], [0, 0, 0, 1]]
    assert encode_vectors(of_records, COVER).numpy().tolist() == expected
    assert encode_vectors(of_requests, COVER).numpy().tolist() == expected
    assert np.isnan(raw_missing(COVER)).all()
    assert raw_missing(COVER).shape == (1, 3)
