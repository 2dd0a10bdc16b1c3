"""Binary cross-entropy of each positive and all its query's negatives."""

import tensorflow as tf

from trainer.retrieval.losses.pairwise import PairwiseLoss


class BCELoss(PairwiseLoss):
    """Mean binary cross-entropy."""

    def compare(
        self, positive_logits: tf.Tensor, negative_logits: tf.Tensor, is_negative: tf.Tensor, positive_query: tf.Tensor
    ) -> tf.Tensor:
        """Returns `bce_loss`."""
        return bce_loss(positive_logits, negative_logits, is_negative, positive_query)


def bce_loss(
    positive_logits: tf.Tensor,
    negative_logits: tf.Tensor,
    is_negative: tf.Tensor,
    positive_query: tf.Tensor,
    *,
    power: float | tf.Tensor = 1.0,
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
        power: beta, a number or `[] float32`.

    Returns:
        `[m] float32`.
    """
    total = tf.reduce_sum(is_negative * tf.math.softplus(negative_logits), axis=1)
    number = 1.0 + tf.reduce_sum(is_negative, axis=1)
    loss = power * tf.math.softplus(-positive_logits) + tf.gather(total, positive_query)
    return loss / tf.gather(number, positive_query)
