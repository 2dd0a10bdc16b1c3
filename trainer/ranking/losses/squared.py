"""The squared error."""

import tensorflow as tf

from trainer.ranking.losses.contract import RankingLoss


class SquaredLoss(RankingLoss):
    """Half the squared error: sum of w (s - y)² / 2, so that the gradient of a score is its weighted error."""

    def __call__(self, labels: tf.Tensor, scores: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Standardised labels, scores and weights, `[batch]` each, to `[]`."""
        return tf.reduce_sum(weights * tf.square(scores - labels)) / 2.0
