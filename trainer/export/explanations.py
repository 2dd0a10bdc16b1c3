"""Why `recommender` gave its items their scores: the outputs of its signature `explain`.

The log of an item's score is its query's `baseline`, the log chance of the average candidate, plus the sum of its
`feature_contributions`. `history_contributions` distributes those of the history's features among its entries.

Shapes: `batch` queries, n items found for each, L places of a list, F features, H entries of the history.
"""

from dataclasses import dataclass

import tensorflow as tf

from trainer.cascade.features import GROUP_OF_REQUEST
from trainer.export.orders import Found, Order
from trainer.export.signatures import Outputs
from trainer.index.base import TopK
from trainer.index.item_ids import ItemIds


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The lists of a request and what they were made from."""

    found: Found
    """The candidates."""
    adjustments: tf.Tensor
    """`[batch, n] float32`: what the request adds to their log chances."""
    chosen: TopK
    """`[batch, L]`: the lists, scored by chances."""
    is_explored: tf.Tensor
    """`[batch, L] bool`: the items that have their place for being new alone."""
    is_unranked: tf.Tensor
    """`[batch, L] bool`: those of them whose score is retrieval's chance, since the second stage did not rank them."""


def explain_answer(order: Order, answer: Answer, item_ids: ItemIds) -> Outputs:
    """Explains each item of the lists.

    Returns:
        `baseline [batch] float32`; `feature_names` and `feature_groups [batch, F] string`, the same for each query;
        `feature_contributions [batch, L, F] float32`; `history_item_ids [batch, H] string`, oldest first, empty for
        padding; `history_contributions [batch, L, H] float32`. Contributions are 0 for padding and for explored
        items that the second stage did not rank.
    """
    found, rows = answer.found, answer.chosen.rows
    is_candidate = (rows[:, :, None] == found.rows[:, None, :]) & (rows >= 0)[:, :, None]
    places = tf.argmax(is_candidate, axis=2, output_type=tf.int32)
    explained = order.explain(found, places)
    of_request = tf.gather(answer.adjustments, places, batch_dims=1)[..., None]
    counts = tf.reduce_any(is_candidate, axis=2) & ~answer.is_unranked
    features = tf.concat([explained.features, of_request], axis=-1)
    names, groups = zip(*order.explained, (GROUP_OF_REQUEST, GROUP_OF_REQUEST), strict=True)
    batch = tf.shape(rows)[0]
    of_history = tf.where(counts[..., None], explained.history, 0.0)
    return {
        "baseline": explained.baseline[:, 0],
        "feature_names": tf.tile([names], [batch, 1]),
        "feature_groups": tf.tile([groups], [batch, 1]),
        "feature_contributions": tf.where(counts[..., None], features, 0.0),
        **_history(found.history, of_history, item_ids),
    }


def _history(history: tf.Tensor, contributions: tf.Tensor, item_ids: ItemIds) -> Outputs:
    """The history's items with their contributions, without the places that are padding for all queries."""
    width = tf.shape(contributions)[2]  # 0 where the order does not tell
    is_used = tf.reduce_any(history >= 0, axis=0)[:width]
    return {
        "history_item_ids": item_ids.ids(tf.boolean_mask(history[:, :width], is_used, axis=1)),
        "history_contributions": tf.boolean_mask(contributions, is_used, axis=2),
    }
