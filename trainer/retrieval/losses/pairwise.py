"""What the losses share that look at each negative by itself; `bce`, `gbce` and `bpr` are such."""

from abc import abstractmethod

import tensorflow as tf

from trainer.layers.products import matmul
from trainer.retrieval.losses.base import Comparison, Loss


class PairwiseLoss(Loss):
    """Computes every logit; a subclass compares them."""

    def __call__(self, comparison: Comparison) -> tf.Tensor:
        """Returns the loss of each positive, `[m] float32`."""
        logits = matmul(comparison.queries, comparison.items, transpose_b=True)
        if comparison.bonus is not None:
            logits = tf.tensor_scatter_nd_add(logits, *comparison.bonus)
        hits = comparison.hits
        is_negative = tf.tensor_scatter_nd_update(tf.ones_like(logits), hits, tf.zeros_like(hits[:, 0], tf.float32))
        return self.compare(comparison.positive_logits, logits, is_negative, comparison.positives.query)

    @abstractmethod
    def compare(
        self, positive_logits: tf.Tensor, negative_logits: tf.Tensor, is_negative: tf.Tensor, positive_query: tf.Tensor
    ) -> tf.Tensor:
        """Returns the loss of each positive.

        Args:
            positive_logits: `[m] float32`.
            negative_logits: `[Q, n] float32`.
            is_negative: `[Q, n] float32`, 0 where the negative is a positive of the query, else 1.
            positive_query: `[m] int32`, the query of each positive.

        Returns:
            `[m] float32`.
        """
