"""Losses over the candidates of a query: each list weighs the same, whatever it holds.

Shapes: B lists of C candidates; padding has no label and a mask of false.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import tensorflow as tf

ListLoss: TypeAlias = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

_LOWEST = -1e9


def softmax(logits: tf.Tensor, labels: tf.Tensor, is_item: tf.Tensor) -> tf.Tensor:
    """Cross-entropy between the list's softmax and its labels divided by their sum, ListNet's top-one loss.

    Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach", ICML 2007, section 4:
    -sum_c y_c / sum(y) log softmax(s)_c.

    Args:
        logits: `[B, C] float32`.
        labels: `[B, C] float32`, at least 0.
        is_item: `[B, C] bool`, false for padding.

    Returns:
        `[B] float32`, 0 for a list without a label.
    """
    log_chances = tf.nn.log_softmax(tf.where(is_item, logits, _LOWEST))
    share = tf.math.divide_no_nan(labels, tf.reduce_sum(labels, axis=1, keepdims=True))
    return -tf.reduce_sum(share * tf.where(is_item, log_chances, 0.0), axis=1)


def pairwise(logits: tf.Tensor, labels: tf.Tensor, is_item: tf.Tensor) -> tf.Tensor:
    """Mean of log(1 + exp(s_j - s_i)) over the pairs with y_i > y_j, RankNet (Burges et al., ICML 2005, Eq. 3).

    Arguments and result are those of `softmax`; 0 for a list without such a pair.
    """
    return _mean_of_pairs(logits, _is_better(labels, is_item))


def lambda_ndcg(logits: tf.Tensor, labels: tf.Tensor, is_item: tf.Tensor) -> tf.Tensor:
    """RankNet's pairs, each weighted by the NDCG that swapping the two would change, LambdaRank.

    Burges, "From RankNet to LambdaRank to LambdaMART: An Overview", MSR-TR-2010-82, section 4. Arguments and result are
    those of `softmax`; no gradient goes through the weights.
    """
    order = tf.argsort(tf.where(is_item, logits, _LOWEST), axis=1, direction="DESCENDING", stable=True)
    rank = tf.cast(tf.argsort(order, axis=1, stable=True), tf.float32)
    discount = tf.math.log(2.0) / tf.math.log(rank + 2.0)
    ideal_labels = tf.sort(tf.where(is_item, labels, 0.0), axis=1, direction="DESCENDING")
    places = tf.cast(tf.range(tf.shape(labels)[1]), tf.float32)
    ideal = tf.reduce_sum(ideal_labels * tf.math.log(2.0) / tf.math.log(places + 2.0), axis=1)[:, None, None]
    gain = tf.abs(labels[:, :, None] - labels[:, None, :]) * tf.abs(discount[:, :, None] - discount[:, None, :])
    weights = tf.stop_gradient(tf.math.divide_no_nan(gain, ideal))
    pairs = _is_better(labels, is_item) * weights
    return tf.reduce_sum(pairs * tf.nn.softplus(logits[:, None, :] - logits[:, :, None]), axis=[1, 2])


def logistic(logits: tf.Tensor, labels: tf.Tensor, is_item: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of the list's candidates, each by itself; arguments and result are those of `softmax`."""
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.minimum(labels, 1.0), logits=logits)
    weight = tf.cast(is_item, tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(weight * losses, axis=1), tf.reduce_sum(weight, axis=1))


def _is_better(labels: tf.Tensor, is_item: tf.Tensor) -> tf.Tensor:
    """`[B, C, C] float32`: 1 where the first candidate has the larger label."""
    both = is_item[:, :, None] & is_item[:, None, :]
    return tf.cast(both & (labels[:, :, None] > labels[:, None, :]), tf.float32)


def _mean_of_pairs(logits: tf.Tensor, pairs: tf.Tensor) -> tf.Tensor:
    losses = pairs * tf.nn.softplus(logits[:, None, :] - logits[:, :, None])
    return tf.math.divide_no_nan(tf.reduce_sum(losses, axis=[1, 2]), tf.reduce_sum(pairs, axis=[1, 2]))


LOSSES: Mapping[str, ListLoss] = {
    "softmax": softmax,
    "pairwise": pairwise,
    "lambda_ndcg": lambda_ndcg,
    "logistic": logistic,
}
