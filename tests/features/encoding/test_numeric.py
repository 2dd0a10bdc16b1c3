"""Numbers against plain arithmetic."""

import math
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st

from features.encoding.numeric import bucketize, standardise
from features.encoding.statistics import NumericStatistics

# TensorFlow's kernels take subnormal numbers for zero, so none is drawn; `std` has its own example below.
normal_floats = st.floats(width=32, allow_subnormal=False)


@given(normal_floats, st.floats(-1e6, 1e6, allow_subnormal=False), st.floats(0, 1e6, allow_subnormal=False))
@example(value=0.0, mean=0.0, std=2.2e-311)
def test_standardise_is_finite_for_every_float(value: float, mean: float, std: float) -> None:
    statistics = NumericStatistics(count=1, missing=0, mean=mean, std=std, minimum=0, maximum=0)
    deviation, missing = standardise(tf.constant([value], tf.float32), statistics).numpy()[0]
    assert missing == float(math.isnan(value))
    expected = (
        0.0
        if math.isnan(value)
        else float(np.clip((value - mean) / (std if std >= sys.float_info.min else 1.0), -8, 8))
    )
    assert deviation == pytest.approx(expected, rel=1e-5, abs=1e-6)


@given(normal_floats)
def test_bucket_is_one_plus_the_boundaries_not_above_the_value(value: float) -> None:
    boundaries = (-1.0, 0.0, 2.5)
    expected = 0 if math.isnan(value) else 1 + sum(boundary <= value for boundary in boundaries)
    assert bucketize(tf.constant([value], tf.float32), boundaries).numpy().tolist() == [expected]
