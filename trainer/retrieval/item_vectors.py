"""The vectors of the items in a history."""

import numpy as np
import tensorflow as tf

from trainer.data.catalogue import EncodedCatalogue
from trainer.layers.gated_features import GatedFeatures

_BLOCK = 65_536


class ItemVectors(tf.keras.layers.Layer):
    """What the candidate tower makes of an item, before it is normalised: its embedding and its side features together.

    So an item with few interactions says by its features what its embedding has not learnt yet, in a history as among
    the candidates.
    """

    def __init__(
        self, features: GatedFeatures, candidates: EncodedCatalogue, *, item_id: str, first_index: int
    ) -> None:
        """Takes the catalogue's features.

        Args:
            features: Features of the candidate tower.
            candidates: the catalogue.
            item_id: name of the item's id among the features.
            first_index: First index of the item embeddings that belong to one item alone; those before are shared.
        """
        super().__init__()
        self.features, self.item_id = features, item_id
        self.num_indices = features.by_name[item_id].table.num_indices
        index = candidates.features[item_id].numpy()
        # One row more than the catalogue has: no features, for the items that are not in it.
        row_of_index = np.full(self.num_indices, len(candidates), np.int32)
        is_own = index >= first_index
        row_of_index[index[is_own]] = np.flatnonzero(is_own)
        self._row_of_index = tf.constant(row_of_index)
        others = {name: values for name, values in candidates.features.items() if name != item_id}
        self._features = {name: tf.concat([values, tf.zeros_like(values[:1])], 0) for name, values in others.items()}

    def call(self, indices: tf.Tensor) -> tf.Tensor:
        """`[...] int32`, rows of the item embeddings, to `[..., d] float32`; each distinct item is embedded once."""
        distinct, places = tf.unique(tf.reshape(indices, [-1]))
        row = tf.gather(self._row_of_index, distinct)
        encoded = {name: tf.gather(values, row) for name, values in self._features.items()}
        vectors = tf.gather(self.features({**encoded, self.item_id: distinct}), places)
        return tf.reshape(vectors, tf.concat([tf.shape(indices), tf.shape(vectors)[1:]], axis=0))


class FrozenItemVectors(tf.keras.layers.Layer):
    """`ItemVectors` as one table, for a model that is not trained any more."""

    def __init__(self, vectors: ItemVectors) -> None:
        """Embeds every item."""
        super().__init__()
        starts = range(0, vectors.num_indices, _BLOCK)
        blocks = [vectors(tf.range(start, min(start + _BLOCK, vectors.num_indices))) for start in starts]
        self.table = tf.Variable(tf.concat(blocks, axis=0), trainable=False, name="item_vectors")

    def call(self, indices: tf.Tensor) -> tf.Tensor:
        """`[...] int32` to `[..., d] float32`."""
        return tf.gather(self.table, indices)
