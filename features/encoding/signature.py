"""Raw features as inputs of a SavedModel's signatures."""

import tensorflow as tf

from features.spec.base import Feature


def raw_spec(feature: Feature) -> tf.TensorSpec:
    """The feature as an input of a signature: `[batch]`, `[batch, n]` for a list, `[batch, length]` for a vector."""
    width = [feature.fixed_length] if feature.is_list else []
    return tf.TensorSpec([None, *width], tf.dtypes.as_dtype(feature.raw_type), name=feature.name)


def raw_missing(feature: Feature) -> tf.Tensor:
    """What stands for "not given" as an input of a signature, for a batch of 1, in the shape of `raw_spec`."""
    spec = raw_spec(feature)
    return tf.fill([width or 1 for width in spec.shape], tf.constant(feature.missing_value, spec.dtype))
