"""The first or the last strings of each list, without the empty strings that stand for missing values."""

import tensorflow as tf


def first_values(values: tf.Tensor | tf.RaggedTensor, width: int) -> tf.Tensor:
    """The first `width` non-empty values, then padding.

    Args:
        values: `[batch, n] string`, dense (padded with `""` anywhere) or ragged.
        width: Number of values to keep.

    Returns:
        `[batch, width] string`, padded with `""` at the end.
    """
    return _present(values)[:, :width].to_tensor(default_value="", shape=[None, width])


def last_values(values: tf.Tensor | tf.RaggedTensor, width: int) -> tf.Tensor:
    """The last `width` non-empty values in their order, then padding.

    Args:
        values: `[batch, n] string`, dense (padded with `""` anywhere) or ragged.
        width: Number of values to keep.

    Returns:
        `[batch, width] string`, padded with `""` at the end.
    """
    return _present(values)[:, -width:].to_tensor(default_value="", shape=[None, width])


def _present(values: tf.Tensor | tf.RaggedTensor) -> tf.RaggedTensor:
    ragged = values if isinstance(values, tf.RaggedTensor) else tf.RaggedTensor.from_tensor(values)
    return tf.ragged.boolean_mask(ragged, ragged != "")
