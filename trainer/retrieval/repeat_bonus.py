"""Score bonus for items that are already in the query's history."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from features.encoding.log_buckets import NUM_COUNTS

# Adam moves a weight by a learning rate a step, whatever its gradient; these have further to go than others.
_SPEED = 10.0
_MOST = 30.0


class RepeatBonus(NamedTuple):
    """Sparse bonus added to the scores of some pairs of query and item; ascending by query and row, each pair once."""

    query: tf.Tensor
    """`[n] int32`."""
    rows: tf.Tensor
    """`[n] int32`, of the catalogue."""
    scores: tf.Tensor
    """`[n] float32`, at least 0; in training as logits, that is divided by the temperature."""

    def of(self, query: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """`[m] float32`: what is added to the scores of pairs, `[m] int32` each; 0 for those that are not here."""
        keys = tf.concat([_keys(self.query, self.rows), [tf.int64.max]], axis=0)
        wanted = _keys(query, rows)
        places = tf.searchsorted(keys, wanted)
        scores = tf.gather(tf.pad(self.scores, [[0, 1]]), places)
        return tf.where(tf.gather(keys, places) == wanted, scores, tf.zeros_like(scores))


class EntriesOfHistories(NamedTuple):
    """What a batch of histories holds, oldest first."""

    rows: tf.Tensor
    """`[batch, n] int32`, of the catalogue; -1 for what the catalogue does not hold."""
    present: tf.Tensor
    """`[batch, n] bool`, whether there is an entry."""
    ages: tf.Tensor | None
    """`[batch, n] int32`: `age_buckets` of the events; None where the schema has no times."""
    times: tf.Tensor | None = None
    """`[batch, n] int64`: of the events, seconds since 1970-01-01 UTC, 0 where unknown; None if nobody asks."""


class RepeatBonusLayer(tf.keras.layers.Layer):
    """Adds s log(1 + sum of exp(w(place) + a(age))) to an item's logit, over the entries of the history that hold it.

    A vector blurs which single items a long history holds; this term does not. In the softmax it multiplies an item's
    chance by a power of one plus how often the user took it, where what an entry weighs is learnt, by its place from
    the end and the time between it and the newest: the personal frequency (https://arxiv.org/abs/2006.00556) decides
    together with the vectors. As the term is never negative, the best k items of a query are among the best k by
    vectors and those of the history.
    """

    def __init__(self, length: int, *, with_ages: bool) -> None:
        """Starts from s = 1, w = 0 and a = 0.

        Args:
            length: entries of a history that count, from its end.
            with_ages: whether the ages of the entries are known.
        """
        super().__init__()
        self.length = length
        self.bucket_of_place = np.floor(2 * np.log2(np.arange(length) + 1.0)).astype(np.int32)
        """Places share a weight where they are far from the end: 0, 1, 2, 3 to 4, 5, 6 to 7, 8 to 10, …"""
        self.places = self.add_weight(name="places", shape=(1 + int(self.bucket_of_place[-1]),), initializer="zeros")
        self.ages = self.add_weight(name="ages", shape=(NUM_COUNTS,), initializer="zeros") if with_ages else None
        self.scale = self.add_weight(name="scale", shape=(), initializer="zeros")

    def call(self, entries: EntriesOfHistories) -> RepeatBonus:
        """The pairs of a batch of histories, with logits."""
        rows, present, ages, _ = entries
        back = tf.cumsum(tf.cast(present, tf.int32), axis=1, reverse=True, exclusive=True)
        where = tf.where(present & (rows >= 0) & (back < self.length))
        keys = _keys(where[:, 0], tf.gather_nd(rows, where))
        order = tf.argsort(keys)
        distinct, pair = tf.unique(tf.gather(keys, order))
        log_weights = tf.gather(self.places, tf.gather(self.bucket_of_place, tf.gather_nd(back, where)))
        if self.ages is not None:
            log_weights += tf.gather(self.ages, tf.gather_nd(ages, where))
        frequency = tf.math.segment_sum(_exp(tf.gather(log_weights, order)), pair)
        logits = _exp(self.scale) * tf.math.log1p(frequency)
        return RepeatBonus(tf.cast(distinct // 2**32, tf.int32), tf.cast(distinct % 2**32, tf.int32), logits)


def _exp(weights: tf.Tensor) -> tf.Tensor:
    """Exponential of scaled weights, bounded to what float32 can sum."""
    return tf.exp(tf.clip_by_value(_SPEED * weights, -_MOST, _MOST))


def _keys(query: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """`[n] int64`: pairs as numbers, in the order of query and row."""
    return tf.cast(query, tf.int64) * 2**32 + tf.cast(rows, tf.int64)
