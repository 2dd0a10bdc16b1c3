"""Mixed dimensions: frequent indices have wide rows, the others narrow ones and a matrix that widens them.

Ginart et al., "Mixed Dimension Embeddings with Application to Memory-Efficient Recommendation Systems", 2019,
https://arxiv.org/abs/1909.11810, with two blocks by popularity.
"""

from dataclasses import replace

import numpy as np
import tensorflow as tf

from trainer.config.tables import MixedConfig
from trainer.layers.stored_matrix import look_up, whole
from trainer.layers.tables.contract import EmbeddingTable, TableFacts
from trainer.layers.tables.frequency import is_frequent


class MixedTable(EmbeddingTable):
    """Two matrices of rows, wide and narrow. The first narrow row belongs to no index."""

    def __init__(self, config: MixedConfig, facts: TableFacts) -> None:
        """Creates the matrices, and the place of each index in its own one, four bytes an index."""
        super().__init__(config, facts)
        is_wide = is_frequent(config, facts)
        num_wide = int(is_wide.sum())
        # Wide rows have places of 0 and more, narrow ones negative ones.
        places = np.where(is_wide, np.cumsum(is_wide) - 1, -np.cumsum(~is_wide)).astype(np.int32)
        self._place_of_index = tf.Variable(places, trainable=False, name="place_of_index")
        self.wide = self.add_weight(name="wide", shape=(num_wide, facts.dimension), initializer=facts.noise())
        narrow = replace(facts, num_special=1).noise(1)
        shape = (1 + facts.num_indices - num_wide, config.width)
        self.narrow = self.add_weight(name="narrow", shape=shape, initializer=narrow)
        # A row of `width` independent components keeps its variance: the matrix has that of 1 / width.
        widening = tf.keras.initializers.RandomNormal(stddev=config.width**-0.5, seed=facts.seed + 1)
        self.widening = self.add_weight(name="widening", shape=(config.width, facts.dimension), initializer=widening)

    def call(self, indices: tf.Tensor) -> tf.Tensor:
        """`[...] int32` to `[..., D] float32`."""
        places = look_up(self._place_of_index, indices)
        wide = look_up(self.wide, tf.maximum(places, 0))
        narrow = look_up(self.narrow, tf.maximum(-places, 0))
        return tf.where(places[..., None] >= 0, wide, tf.tensordot(narrow, whole(self.widening), axes=1))
