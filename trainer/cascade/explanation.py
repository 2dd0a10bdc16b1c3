"""Why the list ranker gives candidates their scores: contributions of its features and of the history's entries.

Integrated gradients (`trainer.layers.attribution`) from the average candidate of the list, whose every feature is the
mean over the list: what all candidates share says nothing about their order. The list's mean and deviation, by which
features are standardised, stay as they are on the way.

Each similarity to the history is a sum of what its entries give it. So the features' contributions are sums of those of
the entries, which are the integrated gradients of these parts. What the times of earlier events contribute is shared
equally among the entries that hold the candidate.

Shapes: B queries, H history entries, C candidates, L explained ones, F features.
"""

import tensorflow as tf

from trainer.cascade.features import (
    FEATURES_OF_SCORES,
    GROUP_OF_REPEATS,
    NUM_OVER_HISTORY,
    TOP,
    CandidateFeatures,
    Query,
    history_weights,
    timed_history_of,
)
from trainer.cascade.model import ListRanker
from trainer.layers.attribution import Explanation, mean_gradients


def explain_list(ranker: ListRanker, features: CandidateFeatures, query: Query, places: tf.Tensor) -> Explanation:
    """Explains the log softmax of the ranker's logits over the candidates.

    Args:
        ranker: The list ranker.
        features: Of the candidates.
        query: With all candidates of the lists.
        places: `[B, L] int32`: which candidates to explain; padding gets contributions of 0.
    """
    is_item, values = query.candidates >= 0, features(query)
    moments = ranker.standardisation.moments(values, is_item)

    def logits(points: tf.Tensor) -> tf.Tensor:
        return ranker.mean_logits(ranker.standardisation.within_list(points, moments))

    chosen = tf.gather(values, places, batch_dims=1)
    is_chosen_item = tf.gather(is_item, places, batch_dims=1)[..., None]
    gradients = tf.where(is_chosen_item, mean_gradients(logits, moments.mean, chosen), 0.0)
    log_total = tf.reduce_logsumexp(ranker(values, is_item), axis=1, keepdims=True)
    given = gradients * (chosen - moments.mean)
    return Explanation(
        baseline=logits(moments.mean) - log_total,
        features=given,
        history=history_contributions(features, query, places, gradients)
        + repeat_contributions(features, query, places, given),
    )


def history_contributions(
    features: CandidateFeatures, query: Query, places: tf.Tensor, gradients: tf.Tensor
) -> tf.Tensor:
    """Distributes the contributions of the features of the history among its entries.

    Args:
        features: Of the candidates.
        query: With all candidates of the lists.
        places: `[B, L] int32`: the explained candidates.
        gradients: `[B, L, F] float32`: a feature's contribution for each unit above the list's mean.

    Returns:
        `[B, L, H] float32`; 0 for padding.
    """
    weights, first = history_weights(query.history), len(FEATURES_OF_SCORES)
    is_item = tf.cast(query.candidates >= 0, tf.float32)[:, None, :]
    count = tf.maximum(tf.reduce_sum(is_item, axis=-1, keepdims=True), 1.0)

    def above_mean(parts: tf.Tensor) -> tf.Tensor:
        """`[B, H, C]` to `[B, H, L]`: what is above the mean of the list's candidates."""
        return tf.gather(parts, places, axis=2, batch_dims=1) - tf.reduce_sum(parts * is_item, 2, keepdims=True) / count

    total = tf.zeros([tf.shape(places)[0], tf.shape(places)[1], tf.shape(query.history)[1]])
    for similarity in features.similarities.values():
        pairs = similarity.pairs(query.history, query.candidates)
        of_total, of_most, of_top, *of_weighted = tf.unstack(gradients[..., first : first + NUM_OVER_HISTORY], axis=-1)
        linear = tf.einsum("bhk,blk->blh", weights, tf.stack([of_total, *of_weighted], axis=-1))
        present = pairs * weights[..., :1]
        total += linear * tf.transpose(above_mean(pairs), [0, 2, 1])
        for entries, gradient in ((1, of_most), (TOP, of_top)):
            parts = above_mean(parts_of_largest(present, entries))
            total += gradient[..., None] * tf.transpose(parts, [0, 2, 1])
        first += NUM_OVER_HISTORY
    return total


def repeat_contributions(features: CandidateFeatures, query: Query, places: tf.Tensor, given: tf.Tensor) -> tf.Tensor:
    """Distributes what the times of earlier events contribute among the entries that hold the candidate, equally.

    Args:
        features: Of the candidates.
        query: With all candidates of the lists.
        places: `[B, L] int32`: the explained candidates.
        given: `[B, L, F] float32`: contributions of the features.

    Returns:
        `[B, L, H] float32`; 0 for other entries, and so all 0 for a candidate that the user has never had.
    """
    if not features.with_times:
        return tf.zeros([tf.shape(places)[0], tf.shape(places)[1], tf.shape(query.history)[1]])
    is_of_repeats = tf.constant([group == GROUP_OF_REPEATS for group in features.groups])
    of_repeats = tf.reduce_sum(tf.boolean_mask(given, is_of_repeats, axis=2), axis=-1)
    chosen = tf.gather(query.candidates, places, batch_dims=1)
    holds = tf.cast(timed_history_of(query).holding(chosen), tf.float32)
    shares = tf.math.divide_no_nan(holds, tf.reduce_sum(holds, axis=1, keepdims=True))
    return of_repeats[..., None] * tf.transpose(shares, [0, 2, 1])


def parts_of_largest(pairs: tf.Tensor, entries: int) -> tf.Tensor:
    """What each entry gives to the sum of the largest values above 0; equal entries share what is left for them.

    Args:
        pairs: `[B, H, C] float32`.
        entries: How many values are summed.

    Returns:
        `[B, H, C] float32`, whose sum over the entries is that sum.
    """
    positive = tf.nn.relu(pairs)
    padded = tf.pad(positive, [[0, 0], [0, entries], [0, 0]])
    least = tf.math.top_k(tf.transpose(padded, [0, 2, 1]), k=entries).values[..., -1][:, None, :]
    larger, equal = positive > least, tf.cast(positive == least, tf.float32)
    left = entries - tf.reduce_sum(tf.cast(larger, tf.float32), axis=1, keepdims=True)
    share = tf.math.divide_no_nan(left, tf.reduce_sum(equal, axis=1, keepdims=True))
    return tf.where(larger, positive, equal * share * least)
