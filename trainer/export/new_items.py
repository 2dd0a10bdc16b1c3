"""Places of the recommender's lists for items without training events.

Shapes: B queries, L places of a list.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.index.base import TopK
from trainer.index.filtered_retriever import Retriever
from trainer.index.vectors import read_rows
from trainer.reranking.new_items import num_places, reserve_places


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What retrieval was asked for."""

    queries: tf.Tensor
    """`[B, d] float32`."""
    excluded: tf.Tensor
    """`[B, e] int32`: rows not to return, -1 for none."""
    filters: Tensors
    users: tf.Tensor
    """`[B] string`: whose lists these are; empty where requests do not tell."""
    history: tf.Tensor
    """`[B, h] int32`: rows of the history's items."""

    def keys(self) -> tf.Tensor:
        """`[B] string`: equal for equal users and histories; decides how a broken number of places is rounded."""
        rows = tf.strings.reduce_join(tf.strings.as_string(self.history), axis=1, separator=",")
        return tf.strings.join([self.users, rows], separator=" ")


class NewItems(tf.Module):
    """Finds new items by retrieval's score and puts them at the end of lists."""

    def __init__(self, retriever: Retriever, is_new: npt.NDArray[np.bool_], temperature: float) -> None:
        """Stores which items are new.

        Args:
            retriever: Scores them.
            is_new: `[items]`, in the order of the index.
            temperature: Of retrieval's scores.
        """
        super().__init__(name="new_items")
        self._retriever, self._temperature = retriever, temperature
        self._is_new = tf.Variable(is_new, trainable=False, name="is_new")
        self._rows = tf.Variable(np.flatnonzero(is_new).astype(np.int32), trainable=False, name="rows")

    def are_among(self, rows: tf.Tensor) -> tf.Tensor:
        """`[B, L] bool`: which rows `[B, L] int32` are new items."""
        return (rows >= 0) & read_rows(self._is_new, rows)

    def reserve(self, best: TopK, found: TopK, share: tf.Tensor, asked: Asked) -> tuple[TopK, tf.Tensor]:
        """Gives new items their share of the places.

        Args:
            best: `[B, L]`: The lists, scored by chances.
            found: `[B, c]`: What retrieval found.
            share: `[B] float32`.
            asked: What it was asked for.

        Returns:
            The lists, and `[B, L] bool`: which places new items got by the reservation. The chance of such an item is
            retrieval's alone: its share in the softmax over what was found.
        """
        length = tf.shape(best.rows)[1]
        new = self._retriever.search_among(asked.queries, self._rows.value(), length, asked.excluded, asked.filters)
        places = num_places(share, length, asked.keys())
        reserved = reserve_places(best.rows, self.are_among(best.rows), new.rows, places)
        total = tf.reduce_logsumexp(found.scores / self._temperature, axis=1, keepdims=True)
        # Where nothing was found, the sum is 0 and its log -inf.
        chances = tf.exp(new.scores / self._temperature - tf.where(tf.math.is_finite(total), total, 0.0))
        chances = tf.where(tf.math.is_finite(new.scores), chances, -float("inf"))
        rows, scores = tf.concat([best.rows, new.rows], axis=1), tf.concat([best.scores, chances], axis=1)
        chosen = TopK(*(tf.gather(values, reserved.places, batch_dims=1) for values in (scores, rows)))
        return chosen, reserved.is_explored
