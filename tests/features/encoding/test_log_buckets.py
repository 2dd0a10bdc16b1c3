"""Buckets by powers of two against plain arithmetic."""

import math

import tensorflow as tf

from features.encoding.log_buckets import time_gaps


def test_gaps_are_powers_of_two_seconds() -> None:
    times = tf.constant([[100, 100, 101, 103, 106, 100_106, 0, 200_000]], tf.int64)
    gaps = [0, 1, 2, 3, 100_000]
    expected = [0, *(1 + math.floor(math.log2(gap + 1)) for gap in gaps), 0, 0]
    assert time_gaps(times).numpy().tolist() == [expected]
    assert time_gaps(tf.constant([[10, 5]], tf.int64)).numpy().tolist() == [[0, 1]]  # an order that cannot be
