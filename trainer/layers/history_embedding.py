"""Embeddings of the entries of a history: their items, and what is known of the events beside them."""

from collections.abc import Mapping

import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.layers.tables.contract import EmbeddingTable


class HistoryEmbedding(tf.keras.layers.Layer):
    """Adds up the vector of an entry's item and those of its companions, such as the kind and the age of the event."""

    def __init__(
        self,
        item_vectors: tf.keras.layers.Layer,
        companions: Mapping[str, EmbeddingTable],
        times: str = "",
        *,
        first_known: int = 0,
    ) -> None:
        """Takes the parts.

        Args:
            item_vectors: Maps rows of the item embeddings, `[...] int32`, to `[..., D] float32`; the table itself, or a
                layer that knows the items' side features too.
            companions: Tables of the companions, by the name of the feature.
            times: Name of the companion that tells the time between entries; empty if there is none.
            first_known: First row of an item that histories of the training hold. Rows before have the vector zero:
                what they are like as candidates says nothing about a user.
        """
        super().__init__()
        self.item_vectors, self.companions, self.times = item_vectors, dict(companions), times
        self.first_known = first_known

    def call(self, items: tf.Tensor, beside: Tensors | None = None) -> tf.Tensor:
        """Items and companions by name, `[...] int32` each, to `[..., D] float32`."""
        companions = [table((beside or {})[name]) for name, table in self.companions.items()]
        return tf.add_n([self._vectors(items), *companions])

    def _vectors(self, items: tf.Tensor) -> tf.Tensor:
        """`[..., D] float32` of the items alone."""
        vectors = self.item_vectors(items)
        return self._of_known(vectors, items[..., None])

    def _of_known(self, values: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """The values of items that training knows, and zero for the others."""
        return values * tf.cast(items >= self.first_known, values.dtype) if self.first_known else values

    def gaps(self, beside: Tensors | None) -> tf.Tensor | None:
        """`[...] int32`: `time_gaps` of the entries; None if they are not learnt from."""
        return beside[self.times] if beside and self.times in self.companions else None

    def weighted_sum(
        self, items: tf.Tensor, beside: Tensors | None, weights: tf.Tensor, *, training: bool
    ) -> tf.Tensor:
        """Returns the weighted sum of the entries' embeddings.

        Args:
            items: `[batch, W] int32`, rows of the item embeddings.
            beside: Companions by name, `[batch, W] int32` each.
            weights: `[batch, W] float32`, 0 for padding.
            training: Whether a gradient is wanted.

        Returns:
            `[batch, D] float32`.
        """
        if isinstance(self.item_vectors, EmbeddingTable):
            known = self._of_known(weights, items)
            of_items = self.item_vectors.weighted_sum(items, known, training=training)
        else:
            of_items = tf.einsum("bw,bwd->bd", weights, self._vectors(items))
        of_companions = [
            table.weighted_sum((beside or {})[name], weights, training=training)
            for name, table in self.companions.items()
        ]
        return tf.add_n([of_items, *of_companions])
