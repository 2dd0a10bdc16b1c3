"""Losses that look at each negative by itself: binary cross-entropy, gBCE and BPR."""

import tensorflow as tf


def bce_loss(
    positive_logits: tf.Tensor,
    negative_logits: tf.Tensor,
    is_negative: tf.Tensor,
    positive_query: tf.Tensor,
    *,
    power: float = 1.0,
) -> tf.Tensor:
    """Mean binary cross-entropy of a positive and all its query's negatives.

    With a `power` beta below 1 this is gBCE (https://arxiv.org/abs/2308.07192, Eq. 13): the positive's probability
    counts as sigmoid(s)^beta, which takes back the overconfidence that comes from seeing only a sample of the
    negatives.

    Args:
        positive_logits: `[m] float32`.
        negative_logits: `[queries, n] float32`.
        is_negative: `[queries, n] float32`, 0 where the negative is a positive of the query, else 1.
        positive_query: `[m] int32`, the query of each positive.
        power: beta.

    Returns:
        `[m] float32`.
    """
    total = tf.reduce_sum(is_negative * tf.math.softplus(negative_logits), axis=1)
    number = 1.0 + tf.reduce_sum(is_negative, axis=1)
    loss = power * tf.math.softplus(-positive_logits) + tf.gather(total, positive_query)
    return loss / tf.gather(number, positive_query)


def gbce_power(sampling_rate: float, calibration: float) -> float:
    """The power beta of gBCE (Eq. 14): alpha (t (1 - 1/alpha) + 1/alpha).

    Args:
        sampling_rate: alpha, the share of the catalogue's other items that a positive is compared with.
        calibration: t, from 0 (plain binary cross-entropy) to 1 (probabilities as calibrated as with all items).
    """
    return sampling_rate * (calibration * (1.0 - 1.0 / sampling_rate) + 1.0 / sampling_rate)


def bpr_loss(
    positive_logits: tf.Tensor, negative_logits: tf.Tensor, is_negative: tf.Tensor, positive_query: tf.Tensor
) -> tf.Tensor:
    """-log sigmoid(s_p - s_j), the mean over the negatives j (BPR-Opt, https://arxiv.org/abs/1205.2618, section 4.1).

    Arguments and result are those of `bce_loss`.
    """
    margins = tf.gather(negative_logits, positive_query) - positive_logits[:, None]
    mask = tf.gather(is_negative, positive_query)
    total = tf.reduce_sum(mask * tf.math.softplus(margins), axis=1)
    return total / tf.maximum(tf.reduce_sum(mask, axis=1), 1.0)
