"""Sums of several hashed rows, which few indices have all in common.

Svenstrup et al., "Hash Embeddings for Efficient Word Representations", 2017, https://arxiv.org/abs/1709.03933, without
their weights for each value; the same as the Bloom embeddings of Serrà & Karatzoglou 2017,
https://arxiv.org/abs/1706.03993, on the side of the input.
"""

from collections.abc import Sequence
from functools import partial

import tensorflow as tf

from trainer.config.tables import MultiHashConfig
from trainer.layers.tables.contract import LinearTable, Part, TableFacts
from trainer.layers.tables.hashing import hash_rows, special_or


class MultiHashTable(LinearTable):
    """One matrix, of which each index has several rows. A special index has its own row as many times."""

    def __init__(self, config: MultiHashConfig, facts: TableFacts) -> None:
        """Creates the matrix; a sum of its rows varies as one row of a full table does."""
        super().__init__(config, facts)
        self._rows, self._special, self._hashes = config.rows, facts.num_special, config.hashes
        shape = (facts.num_special + config.rows, facts.dimension)
        initializer = facts.noise(scale=config.hashes**-0.5)
        self.table = self.add_weight(name="table", shape=shape, initializer=initializer)

    def parts(self) -> Sequence[Part]:
        """The matrix by each hash function."""
        return [Part(self.table, partial(self._row_of, number)) for number in range(self._hashes)]

    def _row_of(self, number: int, indices: tf.Tensor) -> tf.Tensor:
        return special_or(indices, self._special, hash_rows(indices, self._rows, number))
