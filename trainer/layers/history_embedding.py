"""Embeddings of the entries of a history: their items, and what is known of the events beside them."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.layers.stored_matrix import look_up, whole
from trainer.layers.tables.contract import EmbeddingTable
from trainer.layers.tables.matched_rows import MatchedRows


class HistoryEmbedding(tf.keras.layers.Layer):
    """Adds up the vector of an entry's item and those of its companions, such as the kind and the age of the event."""

    def __init__(
        self,
        item_vectors: tf.keras.layers.Layer,
        companions: Mapping[str, EmbeddingTable],
        times: str = "",
        *,
        known: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Takes the parts.

        Args:
            item_vectors: Maps rows of the item embeddings, `[...] int32`, to `[..., D] float32`; the table itself, or a
                layer that knows the items' side features too.
            companions: Tables of the companions, by the name of the feature.
            times: Name of the companion that tells the time between entries; empty if there is none.
            known: `[rows of the item embeddings]`: which of them the histories of the training hold; None for all. The
                others have the vector zero: what they are like as candidates says nothing about a user.
        """
        super().__init__()
        self.item_vectors, self.companions, self.times = item_vectors, dict(companions), times
        self.known: tf.Variable | None = None
        if known is not None:
            # A weight, so that a restored model has it of its own training, whatever the catalogue is by then.
            start = tf.constant_initializer(known[:, None].astype(np.float32))
            self.known = self.add_weight(name="known", shape=(len(known), 1), initializer=start, trainable=False)

    def call(self, items: tf.Tensor, beside: Tensors | None = None) -> tf.Tensor:
        """Items and companions by name, `[...] int32` each, to `[..., D] float32`."""
        companions = [table((beside or {})[name]) for name, table in self.companions.items()]
        return tf.add_n([self._vectors(items), *companions])

    def _vectors(self, items: tf.Tensor) -> tf.Tensor:
        """`[..., D] float32` of the items alone."""
        vectors = self.item_vectors(items)
        return vectors if self.known is None else vectors * look_up(self.known, items)

    def known_rows(self) -> npt.NDArray[np.bool_] | None:
        """`known`, as of now."""
        return None if self.known is None else whole(self.known).numpy()[:, 0] > 0

    def take_over(self, former: "HistoryEmbedding", match: MatchedRows) -> None:
        """Knows what a former run knew too, since its rows are kept; `match` tells where its rows are today."""
        before, now = former.known_rows(), self.known_rows()
        if self.known is not None and before is not None and now is not None:
            kept = (match.former >= 0) & before[np.maximum(match.former, 0)]
            self.known.assign((now | kept)[:, None].astype(np.float32))

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
            of_known = weights if self.known is None else weights * look_up(self.known, items)[..., 0]
            of_items = self.item_vectors.weighted_sum(items, of_known, training=training)
        else:
            of_items = tf.einsum("bw,bwd->bd", weights, self._vectors(items))
        of_companions = [
            table.weighted_sum((beside or {})[name], weights, training=training)
            for name, table in self.companions.items()
        ]
        return tf.add_n([of_items, *of_companions])
