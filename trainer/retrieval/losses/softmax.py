"""The softmax cross-entropy of positives against negatives that the batch shares."""

from collections.abc import Callable

import tensorflow as tf

from trainer.layers.products import matmul
from trainer.retrieval.losses.base import Comparison, Loss
from trainer.retrieval.pairs import PairBonus

# Added to sums of exponentials: a query whose negatives are all masked must give a gradient of zero, not NaN.
_TINY = 1e-30


class SoftmaxLoss(Loss):
    """-log of each positive's share in the softmax over itself and its query's negatives."""

    def __call__(self, comparison: Comparison) -> tf.Tensor:
        """Returns the loss of each positive, `[m] float32`."""
        log_sum_exp = log_sum_exp_of_products(
            comparison.queries, comparison.items, comparison.negatives.log_weights, comparison.hits, comparison.bonus
        )
        return softmax_loss(comparison.positive_logits, tf.gather(log_sum_exp, comparison.positives.query))


def log_sum_exp_of_products(
    queries: tf.Tensor, items: tf.Tensor, log_weights: tf.Tensor, hits: tf.Tensor, added: PairBonus | None = None
) -> tf.Tensor:
    """Returns log sum_j exp(queries_i . items_j + log_weights_j + added_ij), without the pairs in `hits`.

    Only the exponentials E are kept for the gradient, which then is two matrix products: with g the incoming gradient
    over the row sums of E, it is diag(g) E items and E' diag(g) queries. TensorFlow's own gradient would make eight
    more passes over the `[queries, n]` logits, and these passes, not the products, are what a step waits for.

    Args:
        queries: `[q, d] float32`.
        items: `[n, d] float32`.
        log_weights: `[n] float32`.
        hits: `[hits, 2] int32`, pairs of query and item to leave out.
        added: sparse logits added to the products; nothing if None.

    Returns:
        `[q] float32`; a very small number where nothing is left.
    """
    if added is None:
        added = PairBonus(tf.zeros([0, 2], tf.int32), tf.zeros([0]))
    return _log_sum_exp(queries, items, log_weights, hits, *added)


@tf.custom_gradient
def _log_sum_exp(
    queries: tf.Tensor, items: tf.Tensor, log_weights: tf.Tensor, hits: tf.Tensor, places: tf.Tensor, added: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., tuple[tf.Tensor | None, ...]]]:
    # The weights ride along as one more component: no pass of their own.
    weighted_queries = tf.concat([queries, tf.ones_like(queries[:, :1])], axis=1)
    logits = matmul(weighted_queries, tf.concat([items, log_weights[:, None]], axis=1), transpose_b=True)
    if added.shape[0] != 0:
        logits = tf.tensor_scatter_nd_add(logits, places, added)
    largest = tf.reduce_max(logits, axis=1, keepdims=True)
    exponentials = tf.exp(logits - largest)
    exponentials = tf.tensor_scatter_nd_update(exponentials, hits, tf.zeros_like(hits[:, 0], tf.float32))
    total = tf.reduce_sum(exponentials, axis=1) + _TINY

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        scale = (upstream / total)[:, None]
        for_queries = scale * matmul(exponentials, items)
        for_items = matmul(exponentials, scale * queries, transpose_a=True)
        for_added = tf.gather_nd(exponentials, places) * tf.gather(scale[:, 0], places[:, 0])
        return for_queries, for_items, None, None, None, for_added

    return tf.squeeze(largest, axis=1) + tf.math.log(total), gradient


def softmax_loss(positive_logits: tf.Tensor, log_sum_exp: tf.Tensor) -> tf.Tensor:
    """-log of the positive's share: log(exp(s_p) + sum_j exp(s_j)) - s_p, finite for any finite logits.

    Args:
        positive_logits: `[m] float32`.
        log_sum_exp: `[m] float32`, of the logits of the negatives of each positive's query.

    Returns:
        `[m] float32`.
    """
    return tf.math.softplus(log_sum_exp - positive_logits)
