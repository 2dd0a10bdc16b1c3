"""Numbers as deviations from the training mean, or as quantile buckets."""

import sys

import tensorflow as tf

from features.encoding.encoder import Encoded, FeatureEncoder, Learnt
from features.encoding.statistics import NumericStatistics
from features.spec.numeric import NumericFeature

# Standardised numbers beyond this many deviations are clipped: one absurd value must not drown the other features.
_MAX_DEVIATIONS = 8.0


class NumericEncoder(FeatureEncoder[NumericFeature]):
    """Numbers to a deviation and a flag for missing values, or to the index of a bucket."""

    def __init__(self, feature: NumericFeature, learnt: Learnt) -> None:
        """Takes the feature's statistics."""
        super().__init__(feature, learnt)
        self._statistics = learnt.statistics.numeric[feature.name]

    @property
    def encoded(self) -> Encoded:
        """Two floats when standardised, else one index."""
        if self.feature.encoding == "standardise":
            return Encoded(form="dense", width=2, num_indices=0, table=self.feature.name)
        size = 2 + len(self._statistics.quantiles)
        return Encoded(form="single", width=1, num_indices=size, table=self.feature.name)

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """`[batch] float32` to `[batch, 2] float32` or `[batch] int32`."""
        if self.feature.encoding == "standardise":
            return standardise(values, self._statistics)
        return bucketize(values, self._statistics.quantiles)


def standardise(values: tf.Tensor, statistics: NumericStatistics) -> tf.Tensor:
    """Deviations from the training mean and a flag for missing values.

    Args:
        values: `[batch] float32`, NaN where missing.
        statistics: Mean and deviation of the training data.

    Returns:
        `[batch, 2] float32`: the deviation, clipped to ±8 and 0 where missing; 1 where missing, else 0.
    """
    missing = tf.math.is_nan(values)
    # TensorFlow's kernels take subnormal numbers for zero.
    scale = statistics.std if statistics.std >= sys.float_info.min else 1.0
    # In float64, as the statistics are: large float32 values would overflow in the subtraction.
    deviation = (tf.cast(values, tf.float64) - statistics.mean) / scale
    deviation = tf.clip_by_value(deviation, -_MAX_DEVIATIONS, _MAX_DEVIATIONS)
    known = tf.where(missing, tf.zeros_like(deviation), deviation)
    return tf.stack([tf.cast(known, tf.float32), tf.cast(missing, tf.float32)], axis=-1)


def bucketize(values: tf.Tensor, boundaries: tuple[float, ...]) -> tf.Tensor:
    """`[batch] float32` to `[batch] int32`: 0 for NaN, else 1 plus the number of boundaries at or below the value."""
    edges = tf.constant(boundaries, tf.float32)
    bucket = 1 + tf.searchsorted(edges, values, side="right")
    return tf.where(tf.math.is_nan(values), tf.zeros_like(bucket), bucket)
