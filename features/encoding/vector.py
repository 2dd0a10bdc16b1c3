"""Vectors that were computed beforehand."""

import math

import tensorflow as tf

from features.encoding.encoder import Encoded, FeatureEncoder
from features.spec.vector import VectorFeature


class VectorEncoder(FeatureEncoder[VectorFeature]):
    """Vectors to vectors of length one, or as they are, and a flag for missing ones."""

    @property
    def encoded(self) -> Encoded:
        """The components and the flag."""
        return Encoded(form="dense", width=self.feature.length + 1, num_indices=0, table=self.feature.name)

    def __call__(self, values: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        """`[batch, length] float32` to `[batch, length + 1] float32`."""
        return encode_vectors(values, self.feature)


def encode_vectors(values: tf.Tensor | tf.RaggedTensor, feature: VectorFeature) -> tf.Tensor:
    """Vectors and a flag for missing ones. A vector that holds NaN or infinity counts as missing.

    Args:
        values: `[batch, length] float32`, dense, or ragged with empty rows where missing.
        feature: Length of the vectors, and whether to scale them to norm one.

    Returns:
        `[batch, length + 1] float32`: the vector, zero where missing; then 1 where missing, else 0.
    """
    if isinstance(values, tf.RaggedTensor):
        values = values.to_tensor(default_value=math.nan, shape=[None, feature.length])
    missing = ~tf.reduce_all(tf.math.is_finite(values), axis=1, keepdims=True)
    known = tf.where(missing, tf.zeros_like(values), values)
    if feature.normalise:
        # Divided by the largest component first: squares of large numbers overflow, those of small ones vanish.
        known = tf.math.divide_no_nan(known, tf.reduce_max(tf.abs(known), axis=1, keepdims=True))
        known = tf.math.divide_no_nan(known, tf.norm(known, axis=1, keepdims=True))
    return tf.concat([known, tf.cast(missing, tf.float32)], axis=1)
