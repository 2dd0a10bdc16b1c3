"""Admission by frequency: only indices that occur often have a row of their own."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from trainer.config.tables import CountedConfig, FrequencyConfig
from trainer.layers.stored_matrix import look_up
from trainer.layers.tables.contract import LinearTable, Part, TableFacts
from trainer.layers.tables.hashing import hash_rows


class FrequencyTable(LinearTable):
    """A row for each frequent index, and rows that the others share by hash."""

    def __init__(self, config: FrequencyConfig, facts: TableFacts) -> None:
        """Creates the matrix, and the row of each index, four bytes an index."""
        super().__init__(config, facts)
        is_own = is_frequent(config, facts)
        num_own = int(is_own.sum())
        shared = num_own + hash_rows(tf.range(facts.num_indices), config.shared_rows).numpy()
        rows = np.where(is_own, np.cumsum(is_own) - 1, shared).astype(np.int32)
        self._row_of_index = tf.Variable(rows, trainable=False, name="row_of_index")
        shape = (num_own + config.shared_rows, facts.dimension)
        self.table = self.add_weight(name="table", shape=shape, initializer=facts.noise())

    def parts(self) -> Sequence[Part]:
        """The matrix; the row is looked up."""
        return [Part(self.table, self._row_of)]

    def _row_of(self, indices: tf.Tensor) -> tf.Tensor:
        return look_up(self._row_of_index, indices)


def is_frequent(config: CountedConfig, facts: TableFacts) -> np.ndarray:
    """`[num_indices] bool`: which indices have a row of full width to themselves; special ones always have."""
    assert facts.counts is not None, "trainer.config.tables has refused it"
    return (facts.counts >= config.min_events) | (np.arange(facts.num_indices) < facts.num_special)
