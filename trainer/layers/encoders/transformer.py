"""Causal self-attention over a history, SASRec (https://arxiv.org/abs/1808.09781), with later options.

Rotary positions are those of https://arxiv.org/abs/2104.09864, SwiGLU is equation (6) of
https://arxiv.org/abs/2002.05202, and gates on what a block adds are those of LiGR (https://arxiv.org/abs/2502.03417).
"""

from collections.abc import Callable
from typing import TypeAlias

import tensorflow as tf

from trainer.config.encoders import TransformerConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.encoders.base import HistoryEncoder, built, layer_norm, same_history
from trainer.layers.products import Dense, matmul

Turn: TypeAlias = Callable[[tf.Tensor], tf.Tensor]
"""Turns queries or keys, `[R, heads, W, depth] float32`, by their places."""

_SLOWEST_TURN = 10_000.0


class TransformerEncoder(HistoryEncoder):
    """SASRec with pre-norm blocks; positions are learnt vectors or rotations of queries and keys."""

    def __init__(self, config: TransformerConfig, dimension: int, *, length: int, dropouts: DropoutSeries) -> None:
        """Creates positions and blocks."""
        super().__init__(config, dimension, length=length, dropouts=dropouts)
        self.places = None
        if config.positions == "learnt":
            noise = tf.keras.initializers.RandomNormal(stddev=0.02, seed=length)
            self.places = self.add_weight(name="positions", shape=(length + 1, dimension), initializer=noise)
        self.blocks = [AttentionBlock(config, dimension, dropouts, number=10 * (i + 1)) for i in range(config.layers)]
        self.norm = built(layer_norm(), dimension)

    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        """Tells the places and runs the blocks."""
        turn: Turn = no_turn
        if self.places is None:
            turn = turn_by(positions, self.blocks[0].depth)
        else:
            vectors += tf.nn.embedding_lookup(self.places, tf.clip_by_value(positions, 0, self.length))
        visible = same_history(positions)
        for block in self.blocks:
            vectors = block(vectors, visible, turn, training=training)
        return self.norm(vectors)


class AttentionBlock(tf.keras.layers.Layer):
    """Attention and a feed-forward layer, each normalised first and added, with or without a gate, to what came in."""

    def __init__(self, config: TransformerConfig, dimension: int, dropouts: DropoutSeries, *, number: int) -> None:
        """Creates the weights; the block's dropout layers have the numbers from `number` on."""
        super().__init__()
        self.heads, self.depth = config.heads, dimension // config.heads
        self.norms = [built(layer_norm(), dimension) for _ in range(2)]
        self.projections = built(Dense(3 * dimension), dimension)
        self.output_layer = built(Dense(dimension), dimension)
        self.is_swiglu = config.feed_forward == "swiglu"
        # Three matrices of two thirds of the width have as many weights as two of the whole.
        width = 8 * dimension // 3 if self.is_swiglu else 4 * dimension
        self.wide = built(Dense(2 * width) if self.is_swiglu else Dense(width, "gelu"), dimension)
        self.narrow = built(Dense(dimension), width)
        self.gates = [built(Dense(dimension, "sigmoid"), dimension) for _ in range(2)] if config.gated else []
        self.dropouts = [dropouts.layer(config.dropout, number + i) for i in range(4)]

    def call(self, vectors: tf.Tensor, visible: tf.Tensor, turn: Turn, training: bool = False) -> tf.Tensor:
        """`[R, W, D]` and `[R, W, W] bool` (from, to) to `[R, W, D]`."""
        attended = self.output_layer(self._attend(self.norms[0](vectors), visible, turn, training))
        vectors = self._add(vectors, self.dropouts[1](attended, training=training), 0)
        wide = self.dropouts[2](self._widen(self.norms[1](vectors)), training=training)
        return self._add(vectors, self.dropouts[3](self.narrow(wide), training=training), 1)

    def _add(self, vectors: tf.Tensor, output: tf.Tensor, part: int) -> tf.Tensor:
        """X + F(X), or with gates X + sigmoid(W X + b) * F(X)."""
        return vectors + (self.gates[part](vectors) * output if self.gates else output)

    def _widen(self, vectors: tf.Tensor) -> tf.Tensor:
        """GELU(W X + b), or SiLU(W X + b) * (V X + c)."""
        wide = self.wide(vectors)
        if not self.is_swiglu:
            return wide
        gate, value = tf.split(wide, 2, axis=-1)
        return tf.nn.silu(gate) * value

    def _attend(self, vectors: tf.Tensor, visible: tf.Tensor, turn: Turn, training: bool) -> tf.Tensor:
        rows, width = tf.shape(vectors)[0], tf.shape(vectors)[1]
        split = tf.reshape(self.projections(vectors), [rows, width, 3, self.heads, self.depth])
        query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]), axis=0)
        logits = matmul(turn(query), turn(key), transpose_b=True) * self.depth**-0.5
        # Padding sees nothing; the finite floor keeps its softmax free of NaN.
        logits = tf.where(visible[:, None], logits, tf.constant(-1e9, logits.dtype))
        weights = self.dropouts[0](tf.nn.softmax(logits), training=training)
        mixed = tf.transpose(matmul(weights, value), [0, 2, 1, 3])
        return tf.reshape(mixed, [rows, width, self.heads * self.depth])


def no_turn(vectors: tf.Tensor) -> tf.Tensor:
    """Leaves queries and keys as they are."""
    return vectors


def turn_by(positions: tf.Tensor, depth: int) -> Turn:
    """Makes the rotation by places: inner products of what is turned depend on the distance between two places alone.

    Component i of the first half and component i of the second are a point in a plane, which is turned by
    `position * 10000^(-2 i / depth)` (equations (14) and (15) of https://arxiv.org/abs/2104.09864).

    Args:
        positions: `[R, W] int32`, of each entry in its history.
        depth: Components of a query or key, an even number.
    """
    half = depth // 2
    speeds = _SLOWEST_TURN ** (-tf.range(half, dtype=tf.float32) / half)
    angles = tf.cast(positions, tf.float32)[:, None, :, None] * speeds
    cosine, sine = tf.cos(angles), tf.sin(angles)

    def turn(vectors: tf.Tensor) -> tf.Tensor:
        first, second = tf.split(vectors, 2, axis=-1)
        return tf.concat([first * cosine - second * sine, second * cosine + first * sine], axis=-1)

    return turn
