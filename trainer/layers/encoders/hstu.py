"""Hierarchical sequential transduction units over a history, HSTU (https://arxiv.org/abs/2402.17152)."""

import tensorflow as tf

from features.encoding.log_buckets import NUM_COUNTS, count_buckets
from trainer.config.encoders import HSTUConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.encoders.base import HistoryEncoder, built, layer_norm, same_history
from trainer.layers.products import Dense, matmul

_SAME_SECOND = 1
# Middle of each bucket of `time_gaps`; an unknown gap, bucket 0, counts as none.
_HALF_SECONDS = [0, *(3 * (2**exponent - 1) for exponent in range(NUM_COUNTS - 1))]


class HSTUEncoder(HistoryEncoder):
    """Blocks of pointwise attention, which learn how far entries lie apart instead of where they are.

    Where a softmax shares out a weight of 1, a pointwise weight depends on the two entries alone, however many others
    there are.
    """

    def __init__(self, config: HSTUConfig, dimension: int, *, length: int, dropouts: DropoutSeries) -> None:
        """Creates the blocks."""
        super().__init__(config, dimension, length=length, dropouts=dropouts)
        self.blocks = [
            HSTUBlock(config, dimension, length, dropouts.layer(config.dropout, 2 + i)) for i in range(config.layers)
        ]
        self.norm = built(layer_norm(), dimension)

    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        """Runs the blocks as if all entries were of one moment."""
        return self.timed_states(vectors, positions, None, training)

    def timed_states(
        self, vectors: tf.Tensor, positions: tf.Tensor, gaps: tf.Tensor | None, training: bool
    ) -> tf.Tensor:
        """Runs the blocks."""
        visible = tf.cast(same_history(positions), vectors.dtype)
        elapsed = tf.constant([[[_SAME_SECOND]]]) if gaps is None else elapsed_buckets(gaps)
        for block in self.blocks:
            vectors = block(vectors, visible, elapsed, training=training)
        return self.norm(vectors)


class HSTUBlock(tf.keras.layers.Layer):
    """Equations (1) to (3) of the paper, with the input normalised first and added to what comes out.

    U, V, Q, K = SiLU(W1 X + b1);  A = SiLU(Q K^T + rab) / n;  Y = W2 (norm(A V) * U) + b2.

    rab is learnt, a number for each distance in places and one for each bucket of the time in between, the same for all
    heads; n is the length of a history, so that a weight is the same in any row.
    """

    def __init__(self, config: HSTUConfig, dimension: int, length: int, dropout: tf.keras.layers.Layer) -> None:
        """Creates the weights; `length` is the most entries of a history."""
        super().__init__()
        self.heads, self.depth, self.length = config.heads, dimension // config.heads, length
        self.norms = [built(layer_norm(), dimension) for _ in range(2)]
        self.projections = built(Dense(4 * dimension, tf.nn.silu), dimension)
        self.output_layer = built(Dense(dimension), dimension)
        self.places = self.add_weight(name="places", shape=(length + 1,), initializer="zeros")
        self.times = self.add_weight(name="times", shape=(NUM_COUNTS,), initializer="zeros")
        self.dropout = dropout

    def call(self, vectors: tf.Tensor, visible: tf.Tensor, elapsed: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Adds to each entry what it gathers from those that it sees.

        Args:
            vectors: `[R, W, D] float32`.
            visible: `[R, W, W] float32`, from, to: 1 where a place looks at another, else 0.
            elapsed: `[R, W, W] int32`, or of a shape that broadcasts to it: bucket of the time from `to` to `from`.
            training: Whether dropout is on.

        Returns:
            `[R, W, D] float32`.
        """
        rows, width = tf.shape(vectors)[0], tf.shape(vectors)[1]
        split = tf.reshape(self.projections(self.norms[0](vectors)), [rows, width, 4, self.heads, self.depth])
        gate, value, query, key = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]), axis=0)
        bias = self._places_apart(width) + tf.gather(self.times, elapsed)
        weights = tf.nn.silu(matmul(query, key, transpose_b=True) + bias[:, None]) * (visible / self.length)[:, None]
        gathered = self._side_by_side(matmul(weights, value))
        gated = self.norms[1](gathered) * self._side_by_side(gate)
        return vectors + self.output_layer(self.dropout(gated, training=training))

    def _places_apart(self, width: tf.Tensor) -> tf.Tensor:
        """`[W, W] float32`: the bias of each distance, from, to; what lies later is not looked at."""
        places = tf.range(width)
        return tf.gather(self.places, tf.clip_by_value(places[:, None] - places[None, :], 0, self.length))

    def _side_by_side(self, heads: tf.Tensor) -> tf.Tensor:
        """`[R, heads, W, depth]` to `[R, W, D]`."""
        shape = tf.shape(heads)
        return tf.reshape(tf.transpose(heads, [0, 2, 1, 3]), [shape[0], shape[2], self.heads * self.depth])


def elapsed_buckets(gaps: tf.Tensor) -> tf.Tensor:
    """Buckets of the time between any two entries of a row, from those between neighbours.

    The gap of a bucket is taken to be the middle of it, so that a sum of gaps is off by less than half of itself, which
    is one bucket at most. Whole half seconds make the sums exact: a history gives the same in any row.

    Args:
        gaps: `[R, W] int32`, as `time_gaps` gives them.

    Returns:
        `[R, W, W] int32`, from, to; `_SAME_SECOND` where `to` is not the earlier one.
    """
    since_start = tf.cumsum(tf.gather(tf.constant(_HALF_SECONDS, tf.int64), gaps), axis=1)
    return count_buckets((since_start[:, :, None] - since_start[:, None, :]) // 2)
