"""Pairs of query and item among the negatives that a batch shares: own positives, and pairs with a bonus."""

from typing import NamedTuple

import tensorflow as tf


class PairBonus(NamedTuple):
    """Sparse logits added to the inner products of queries and items."""

    places: tf.Tensor
    """`[n, 2] int32`: query and position of the item, each pair once."""
    logits: tf.Tensor
    """`[n] float32`."""


def positives_among(negative_rows: tf.Tensor, positive_query: tf.Tensor, positive_rows: tf.Tensor) -> tf.Tensor:
    """Returns where a query's own positives occur among its negatives (accidental hits).

    Args:
        negative_rows: `[n] int32`, distinct and ascending.
        positive_query: `[m] int32`, the query of each positive.
        positive_rows: `[m] int32`.

    Returns:
        `[hits, 2] int32`: query and position in `negative_rows`.
    """
    return bonus_among(negative_rows, positive_query, positive_rows, tf.zeros_like(positive_rows)).places


def bonus_among(negative_rows: tf.Tensor, query: tf.Tensor, rows: tf.Tensor, logits: tf.Tensor) -> PairBonus:
    """Returns the logits of those pairs of query and row, `[m]` and distinct, whose row is a negative, `[n] int32`."""
    slots = _slots(negative_rows, rows)
    is_hit = tf.gather(negative_rows, slots) == rows
    places = tf.boolean_mask(tf.stack([query, slots], axis=1), is_hit)
    return PairBonus(places, tf.boolean_mask(logits, is_hit))


def rows_among(ascending: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """`[m] bool`: which of the rows `[m] int32` are among the ascending ones, `[n] int32`, at least one."""
    return tf.gather(ascending, _slots(ascending, rows)) == rows


def _slots(ascending: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    return tf.minimum(tf.searchsorted(ascending, rows), tf.size(ascending) - 1)
