"""Buckets by powers of two, for counts and for seconds between two events."""

import math

import tensorflow as tf

NUM_COUNTS = 34
"""Number of buckets: 0 is none, the last one takes everything beyond 2^32."""

_LOG_2 = math.log(2.0)


def time_gaps(times: tf.Tensor) -> tf.Tensor:
    """Buckets of the time between each entry and the one before it.

    Args:
        times: `[..., width] int64`, seconds since 1970-01-01 UTC, 0 where unknown or padding.

    Returns:
        `[..., width] int32`: 0 where the entry or the one before it has no time, else `1 + floor(log2(gap + 1))`, at
        most `NUM_COUNTS - 1`: 1 for the same second, 2 for one or two seconds, 3 for three to six.
    """
    before = tf.concat([tf.zeros_like(times[..., :1]), times[..., :-1]], axis=-1)
    return gap_buckets(times, before)


def age_buckets(times: tf.Tensor) -> tf.Tensor:
    """Buckets of the time between each entry and the newest one.

    Args:
        times: `[..., width] int64`, seconds since 1970-01-01 UTC, 0 where unknown or padding.

    Returns:
        `[..., width] int32`: 0 where the entry has no time, else the bucket that `time_gaps` gives to a gap as long; 1
        for the newest entry.
    """
    buckets = count_buckets(tf.reduce_max(times, axis=-1, keepdims=True) - times)
    return tf.where(times > 0, buckets, tf.zeros_like(buckets))


def gap_buckets(times: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
    """Buckets of the time between `before` and `times`, as `time_gaps` defines them; both `[...] int64`."""
    buckets = count_buckets(times - before)
    return tf.where((times > 0) & (before > 0), buckets, tf.zeros_like(buckets))


def count_buckets(counts: tf.Tensor) -> tf.Tensor:
    """Buckets of counts: `1 + floor(log2(count + 1))`, at most `NUM_COUNTS - 1`. `[...] int64` to `[...] int32`."""
    counts = tf.cast(tf.maximum(counts, 0), tf.float64)
    bucket = 1 + tf.cast(tf.math.floor(tf.math.log(counts + 1.0) / _LOG_2 + 1e-9), tf.int32)
    return tf.minimum(bucket, NUM_COUNTS - 1)
