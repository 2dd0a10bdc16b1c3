"""The logistic loss."""

import tensorflow as tf

from trainer.ranking.losses.contract import RankingLoss


class LogisticLoss(RankingLoss):
    """Cross-entropy: sum of w (-y log σ(s) - (1 - y) log(1 - σ(s))), s being the logit and y a label from 0 to 1."""

    def __call__(self, labels: tf.Tensor, scores: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Labels, logits and weights, `[batch]` each, to `[]`."""
        return tf.reduce_sum(weights * tf.nn.sigmoid_cross_entropy_with_logits(labels, scores))
