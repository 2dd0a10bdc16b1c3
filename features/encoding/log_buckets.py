"""Counts, and seconds between two events, as buckets by powers of two; stock TensorFlow ops."""

import math

import tensorflow as tf

NUM_COUNTS = 34
"""Buckets: 0 for none, the last one for all beyond 2^32."""

_LOG_2 = math.log(2.0)


def time_gaps(times: tf.Tensor) -> tf.Tensor:
    """Buckets of the time since the entry before, by powers of two seconds.

    Args:
        times: `[..., width] int64`, seconds since 1970-01-01 UTC, 0 where unknown or padding.

    Returns:
        `[..., width] int32`: 0 where it or the entry before has no time, else `1 + floor(log2(gap + 1))`: 1 for the
        same second, 2 for one or two, 3 for three to six, up to `NUM_COUNTS - 1`.
    """
    before = tf.concat([tf.zeros_like(times[..., :1]), times[..., :-1]], axis=-1)
    return gap_buckets(times, before)


def age_buckets(times: tf.Tensor) -> tf.Tensor:
    """Buckets of the time from each entry to the newest one, by powers of two seconds.

    Args:
        times: `[..., width] int64`, seconds since 1970-01-01 UTC, 0 where unknown or padding.

    Returns:
        `[..., width] int32`: 0 where it has no time, else as `time_gaps`: 1 for the newest one's own second.
    """
    buckets = count_buckets(tf.reduce_max(times, axis=-1, keepdims=True) - times)
    return tf.where(times > 0, buckets, tf.zeros_like(buckets))


def gap_buckets(times: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
    """As `time_gaps`, of given pairs of times."""
    buckets = count_buckets(times - before)
    return tf.where((times > 0) & (before > 0), buckets, tf.zeros_like(buckets))


def count_buckets(counts: tf.Tensor) -> tf.Tensor:
    """Buckets by powers of two, `1 + floor(log2(count + 1))` and at most `NUM_COUNTS - 1`; int64 in, int32 out."""
    counts = tf.cast(tf.maximum(counts, 0), tf.float64)
    bucket = 1 + tf.cast(tf.math.floor(tf.math.log(counts + 1.0) / _LOG_2 + 1e-9), tf.int32)
    return tf.minimum(bucket, NUM_COUNTS - 1)
