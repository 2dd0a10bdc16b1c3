"""Causal self-attention over a history, SASRec (https://arxiv.org/abs/1808.09781)."""

import tensorflow as tf

from trainer.config.encoders import TransformerConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.encoders.base import HistoryEncoder, built, layer_norm, same_history
from trainer.layers.products import Dense, matmul


class TransformerEncoder(HistoryEncoder):
    """SASRec with pre-norm blocks and learnt positions."""

    def __init__(self, config: TransformerConfig, dimension: int, *, length: int, dropouts: DropoutSeries) -> None:
        """Creates positions and blocks."""
        super().__init__(config, dimension, length=length, dropouts=dropouts)
        noise = tf.keras.initializers.RandomNormal(stddev=0.02, seed=length)
        self.places = self.add_weight(name="positions", shape=(length + 1, dimension), initializer=noise)
        self.blocks = [AttentionBlock(config, dimension, dropouts, number=10 * (i + 1)) for i in range(config.layers)]
        self.norm = built(layer_norm(), dimension)

    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        """Adds the positions and runs the blocks."""
        vectors += tf.gather(self.places, tf.clip_by_value(positions, 0, self.length))
        visible = same_history(positions)
        for block in self.blocks:
            vectors = block(vectors, visible, training=training)
        return self.norm(vectors)


class AttentionBlock(tf.keras.layers.Layer):
    """Attention and a GELU layer of four times the width, each normalised first and added to what came in."""

    def __init__(self, config: TransformerConfig, dimension: int, dropouts: DropoutSeries, *, number: int) -> None:
        """Creates the weights; the block's dropout layers have the numbers from `number` on."""
        super().__init__()
        self.heads, self.depth = config.heads, dimension // config.heads
        self.norms = [built(layer_norm(), dimension) for _ in range(2)]
        self.projections = built(Dense(3 * dimension), dimension)
        self.output_layer = built(Dense(dimension), dimension)
        self.wide = built(Dense(4 * dimension, "gelu"), dimension)
        self.narrow = built(Dense(dimension), 4 * dimension)
        self.dropouts = [dropouts.layer(config.dropout, number + i) for i in range(4)]

    def call(self, vectors: tf.Tensor, visible: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[R, W, D]` and `[R, W, W] bool` (from, to) to `[R, W, D]`."""
        attended = self.output_layer(self._attend(self.norms[0](vectors), visible, training))
        vectors += self.dropouts[1](attended, training=training)
        wide = self.dropouts[2](self.wide(self.norms[1](vectors)), training=training)
        return vectors + self.dropouts[3](self.narrow(wide), training=training)

    def _attend(self, vectors: tf.Tensor, visible: tf.Tensor, training: bool) -> tf.Tensor:
        rows, width = tf.shape(vectors)[0], tf.shape(vectors)[1]
        split = tf.reshape(self.projections(vectors), [rows, width, 3, self.heads, self.depth])
        query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]), axis=0)
        logits = matmul(query, key, transpose_b=True) * self.depth**-0.5
        # Padding sees nothing; the finite floor keeps its softmax free of NaN.
        logits = tf.where(visible[:, None], logits, tf.constant(-1e9, logits.dtype))
        weights = self.dropouts[0](tf.nn.softmax(logits), training=training)
        mixed = tf.transpose(matmul(weights, value), [0, 2, 1, 3])
        return tf.reshape(mixed, [rows, width, self.heads * self.depth])
