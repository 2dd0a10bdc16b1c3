"""Places at the end of a list that are kept for new items, which the order of the list would never show.

Shapes: B queries, L places of a list, n new items found for each query.
"""

from typing import NamedTuple

import tensorflow as tf

_RESOLUTION = 1 << 20


class Reserved(NamedTuple):
    """Lists in which new items have their places."""

    places: tf.Tensor
    """`[B, L] int32`: positions in the list and the new items behind it, one after the other."""
    is_explored: tf.Tensor
    """`[B, L] bool`: the places that new items got by the reservation alone."""


def num_places(share: tf.Tensor, limit: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """Number of places for new items in each list: `share * limit` on average over many different keys.

    Args:
        share: `[B] float32`, from 0 to 1.
        limit: `[] int32`: Length of the lists.
        keys: `[B] string`: Equal keys round to the same number.

    Returns:
        `[B] int32`, `share * limit` rounded down or up.
    """
    chance = tf.cast(tf.strings.to_hash_bucket_fast(keys, _RESOLUTION), tf.float32) / _RESOLUTION
    # 0.7 * 10 is 6.9999995 in float32: a share that gives whole places gives them to every request.
    exact = share * tf.cast(limit, tf.float32)
    exact = tf.where(tf.abs(exact - tf.round(exact)) < 1e-4, tf.round(exact), exact)
    return tf.cast(tf.floor(exact + chance), tf.int32)


def reserve_places(rows: tf.Tensor, is_new: tf.Tensor, new_rows: tf.Tensor, count: tf.Tensor) -> Reserved:
    """Puts new items in the last places of lists that hold fewer than `count`.

    New items that a list holds already keep their places and count. What gives way is the end of the list, padding
    first; all else keeps its order.

    Args:
        rows: `[B, L] int32`, best first; -1 for padding, which is at the end.
        is_new: `[B, L] bool`: which of them are new items.
        new_rows: `[B, n] int32`: new items, best first; -1 for padding. Those that the list holds are passed over.
        count: `[B] int32`: Places for new items.
    """
    length = tf.shape(rows)[1]
    is_further = (new_rows >= 0) & ~tf.reduce_any(new_rows[:, :, None] == rows[:, None, :], axis=2)
    wanted = tf.maximum(count - tf.reduce_sum(tf.cast(is_new, tf.int32), axis=1), 0)
    number = tf.cumsum(tf.cast(is_further, tf.int32), axis=1)
    is_taken = is_further & (number <= wanted[:, None])
    taken = tf.reduce_sum(tf.cast(is_taken, tf.int32), axis=1, keepdims=True)
    from_end = tf.cumsum(tf.cast(~is_new, tf.int32), axis=1, reverse=True)
    is_kept = is_new | ((rows >= 0) & (from_end > taken))
    # Kept items in their order, then the taken ones in theirs, then padding and what gave way.
    groups = tf.concat([tf.where(is_kept, 0, 2), tf.where(is_taken, 1, 3)], axis=1)
    places = tf.argsort(groups, axis=1, stable=True)[:, :length]
    return Reserved(places, tf.gather(groups, places, batch_dims=1) == 1)
