"""The contract of every history encoder: the items of a history in, a vector after each of them out.

All are causal: what they say after an item depends on that item and the ones before it, so that one pass over a user's
events trains every position at once, and the vector served is the one after the last item. Several histories may share
a row ("packing": https://arxiv.org/abs/2107.02027): `positions` count from 0 in each history, and a history never sees
the one before it in the row.

Shapes: R rows of W places, D components.
"""

from abc import abstractmethod

import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.config.encoders import ENCODERS, EncoderConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.history_embedding import HistoryEmbedding


class HistoryEncoder(tf.keras.layers.Layer):
    """Turns the embedded entries of histories into vectors; a subclass creates its weights in its constructor."""

    def __init__(self, config: EncoderConfig, dimension: int, *, length: int, dropouts: DropoutSeries) -> None:
        """Creates what every encoder has.

        Args:
            config: Options of the encoder.
            dimension: D, components of an embedded entry and of the vectors that come out.
            length: Most entries of a history.
            dropouts: Makes the dropout layers; the number 1 is taken.
        """
        super().__init__()
        self.config, self.dimension, self.length = config, dimension, length
        self.input_dropout = dropouts.layer(config.dropout, 1)

    @abstractmethod
    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        """Returns the vector after each entry.

        Args:
            vectors: `[R, W, D] float32`, embedded entries.
            positions: `[R, W] int32`, of each entry in its history; -1 for padding.
            training: Whether dropout is on.

        Returns:
            `[R, W, D] float32`.
        """

    def timed_states(
        self, vectors: tf.Tensor, positions: tf.Tensor, gaps: tf.Tensor | None, training: bool
    ) -> tf.Tensor:
        """`states` for an encoder that reads the times of the entries; the others know them from the vectors alone.

        Args:
            vectors: `[R, W, D] float32`, embedded entries.
            positions: `[R, W] int32`, of each entry in its history; -1 for padding.
            gaps: `[R, W] int32`, `time_gaps` of the entries; None where the schema has no `history_times`.
            training: Whether dropout is on.

        Returns:
            `[R, W, D] float32`.
        """
        return self.states(vectors, positions, training)

    def all_states(
        self, vectors: tf.Tensor, positions: tf.Tensor, training: bool, gaps: tf.Tensor | None = None
    ) -> tf.Tensor:
        """`timed_states` of packed histories, with dropout on the embedded entries."""
        return self.timed_states(self.input_dropout(vectors, training=training), positions, gaps, training)

    def call(
        self, history: tf.Tensor, embedding: HistoryEmbedding, beside: Tensors | None = None, training: bool = False
    ) -> tf.Tensor:
        """Returns the vector after the last entry of each history.

        Args:
            history: `[batch, length] int32`, rows of the item embeddings; 0 is padding at the end.
            embedding: Embeds the entries.
            beside: What is known of the entries beside their items, by name, `[batch, length] int32` each.
            training: Whether dropout is on.

        Returns:
            `[batch, D] float32`, zero for an empty history.
        """
        present = history > 0
        positions = tf.where(present, tf.range(tf.shape(history)[1])[None, :], -1)
        states = self.all_states(embedding(history, beside), positions, training, embedding.gaps(beside))
        last = tf.reduce_max(positions, axis=1)
        final = tf.gather(states, tf.maximum(last, 0), batch_dims=1)
        return tf.where(last[:, None] >= 0, final, tf.zeros_like(final))


def make_encoder(config: EncoderConfig, dimension: int, *, length: int, dropouts: DropoutSeries) -> HistoryEncoder:
    """Makes the encoder that the options belong to; the arguments are those of its constructor."""
    encoder: HistoryEncoder = ENCODERS.implementation(config)(config, dimension, length=length, dropouts=dropouts)
    return encoder


def same_history(positions: tf.Tensor) -> tf.Tensor:
    """Tells which places a place may look at: its own and the earlier ones of the same history.

    Args:
        positions: `[R, W] int32`, -1 for padding.

    Returns:
        `[R, W, W] bool`: from, to.
    """
    places = tf.range(tf.shape(positions)[1])
    start = places - positions
    earlier = places[None, :] <= places[:, None]
    same = start[:, :, None] == start[:, None, :]
    real = positions >= 0
    return same & earlier[None] & real[:, :, None] & real[:, None, :]


def layer_norm() -> tf.keras.layers.Layer:
    """Returns a layer normalisation without weights yet."""
    return tf.keras.layers.LayerNormalization(epsilon=1e-6)


def built(layer: tf.keras.layers.Layer, width: int) -> tf.keras.layers.Layer:
    """Returns the layer with its weights made, so that an optimizer can be built before the first call."""
    layer.build((None, None, width))
    return layer
