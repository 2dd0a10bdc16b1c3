"""Bayesian personalised ranking (https://arxiv.org/abs/1205.2618)."""

import tensorflow as tf

from trainer.retrieval.losses.pairwise import PairwiseLoss


class BPRLoss(PairwiseLoss):
    """Mean logistic loss of the margins between a positive and its query's negatives."""

    def compare(
        self, positive_logits: tf.Tensor, negative_logits: tf.Tensor, is_negative: tf.Tensor, positive_query: tf.Tensor
    ) -> tf.Tensor:
        """Returns `bpr_loss`."""
        return bpr_loss(positive_logits, negative_logits, is_negative, positive_query)


def bpr_loss(
    positive_logits: tf.Tensor, negative_logits: tf.Tensor, is_negative: tf.Tensor, positive_query: tf.Tensor
) -> tf.Tensor:
    """-log sigmoid(s_p - s_j), the mean over the negatives j (BPR-Opt, https://arxiv.org/abs/1205.2618, section 4.1).

    Arguments and result are those of `BPRLoss.compare`.
    """
    margins = tf.gather(negative_logits, positive_query) - positive_logits[:, None]
    mask = tf.gather(is_negative, positive_query)
    total = tf.reduce_sum(mask * tf.math.softplus(margins), axis=1)
    return total / tf.maximum(tf.reduce_sum(mask, axis=1), 1.0)
