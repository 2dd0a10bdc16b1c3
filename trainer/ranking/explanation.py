"""What each feature of a candidate contributes to the ranking model's log chance, beside the average candidate.

Integrated gradients (`trainer.layers.attribution`) of the score over the embeddings, from their mean over the list.
What is known of the query is the same for all candidates, so it contributes nothing by itself: it decides what the
item's features are worth.

Shapes: B queries, C candidates, L explained ones, N features, D components of an embedding.
"""

from dataclasses import dataclass

import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.layers.attribution import Explanation, mean_gradients
from trainer.ranking.member import Member
from trainer.ranking.model import RankingModel


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Candidates of queries, some of which are explained."""

    query: Tensors
    """Encoded query features, `[B, ...]` by name."""
    candidate: Tensors
    """Encoded features of the candidates, `[B * C, ...]` by name."""
    is_item: tf.Tensor
    """`[B, C] bool`, false for padding."""
    places: tf.Tensor
    """`[B, L] int32`: the explained candidates."""


def explained_features(model: RankingModel) -> tuple[str, ...]:
    """Names of the features of a candidate, in the order of `explain_pairs`."""
    member = model.members[0]
    return tuple(name for name in member.vectors if name not in member.query_names)


def explain_pairs(model: RankingModel, pairs: Pairs) -> Explanation:
    """Explains the log chance of the first task.

    The contributions to the score are scaled to those to the log chance by the ratio of both differences, which is
    exact for any calibration. There are none of the history, which the model reads as a whole.
    """
    head = model.heads[0]
    explained = [_explain_score(member, head.task_name, pairs) for member in model.members]
    first, last, parts = (tf.add_n(list(each)) / len(explained) for each in zip(*explained, strict=True))

    def link(scores: tf.Tensor) -> tf.Tensor:
        return head.log_chance(head.calibrated(scores))

    is_item = tf.gather(pairs.is_item, pairs.places, batch_dims=1)
    slope = tf.where(is_item, tf.math.divide_no_nan(link(last) - link(first), last - first), 0.0)
    no_history = tf.zeros([tf.shape(is_item)[0], tf.shape(is_item)[1], 0])
    return Explanation(baseline=link(first), features=slope[..., None] * parts, history=no_history)


def _explain_score(member: Member, task: str, pairs: Pairs) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """A member's score of the average candidate, `[B, 1]`, of the explained ones, `[B, L]`, and parts `[B, L, N]`."""
    batch, count = tf.unstack(tf.shape(pairs.is_item))
    query_of_pair = tf.repeat(tf.range(batch), count)

    def mean_and_chosen(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values = tf.reshape(values, [batch, count, values.shape[-1]])
        weight = tf.cast(pairs.is_item, tf.float32)[..., None]
        mean = tf.math.divide_no_nan(
            tf.reduce_sum(values * weight, 1, keepdims=True), tf.reduce_sum(weight, 1, keepdims=True)
        )
        return mean, tf.gather(values, pairs.places, batch_dims=1)

    vectors = member.embed(member.vectors, pairs.query, pairs.candidate, query_of_pair)
    numbers = member.embed(member.numbers[task], pairs.query, pairs.candidate, query_of_pair)
    mean_vector, chosen_vector = mean_and_chosen(tf.concat([*vectors.values()], axis=-1))
    mean_number, chosen_number = mean_and_chosen(tf.concat([*numbers.values()], axis=-1))

    def score(points: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(points)[:-1]
        queries = tf.reshape(tf.broadcast_to(tf.range(batch)[:, None], shape), [-1])
        hidden = member.hidden(tf.reshape(points, [-1, mean_vector.shape[-1]]), pairs.query, queries)
        return tf.reshape(member.last[task](hidden[task]), shape)

    gradients = mean_gradients(score, mean_vector, chosen_vector)
    by_component = gradients * (chosen_vector - mean_vector)
    shape = tf.concat([tf.shape(chosen_vector)[:-1], [len(vectors), -1]], axis=0)
    parts = tf.reduce_sum(tf.reshape(by_component, shape), axis=-1) + chosen_number - mean_number
    is_of_candidate = [place for place, name in enumerate(vectors) if name not in member.query_names]
    return (
        score(mean_vector) + tf.reduce_sum(mean_number, axis=-1),
        score(chosen_vector) + tf.reduce_sum(chosen_number, axis=-1),
        tf.gather(parts, tf.constant(is_of_candidate, tf.int32), axis=-1),
    )
