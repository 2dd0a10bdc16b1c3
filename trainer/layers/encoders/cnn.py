"""Causal convolutions over a history, NextItNet (https://arxiv.org/abs/1808.05163)."""

import tensorflow as tf

from trainer.config.encoders import CNNConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.encoders.base import HistoryEncoder, built, layer_norm
from trainer.layers.products import Dense


class CNNEncoder(HistoryEncoder):
    """Causal convolutions with gaps that double from layer to layer."""

    def __init__(self, config: CNNConfig, dimension: int, *, length: int, dropouts: DropoutSeries) -> None:
        """Creates one matrix for all taps of each layer."""
        super().__init__(config, dimension, length=length, dropouts=dropouts)
        self.kernel_size = config.kernel_size
        width = dimension * config.kernel_size
        self.layers = [built(Dense(dimension, "gelu"), width) for _ in range(config.layers)]
        self.norms = [built(layer_norm(), dimension) for _ in range(config.layers + 1)]
        self.dropouts = [dropouts.layer(config.dropout, 2 + i) for i in range(config.layers)]

    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        """Adds each layer's convolution to what came in."""
        gap = 1
        for layer, norm, dropout in zip(self.layers, self.norms, self.dropouts, strict=False):
            taps = [_delayed(norm(vectors), positions, tap * gap) for tap in range(self.kernel_size)]
            vectors += dropout(layer(tf.concat(taps, axis=-1)), training=training)
            gap *= 2
        return self.norms[-1](vectors)


def _delayed(vectors: tf.Tensor, positions: tf.Tensor, places: int) -> tf.Tensor:
    """`[R, W, D]`: the vector so many places before in the same history, zero where there is none."""
    if places == 0:
        return vectors
    shifted = tf.pad(vectors, [[0, 0], [places, 0], [0, 0]])[:, : tf.shape(vectors)[1]]
    return tf.where(positions[..., None] >= places, shifted, tf.zeros_like(shifted))
