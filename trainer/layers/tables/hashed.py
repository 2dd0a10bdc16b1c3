"""The hashing trick: indices with the same hash share a row (Weinberger et al. 2009, https://arxiv.org/abs/0902.2206)."""

from collections.abc import Sequence

import tensorflow as tf

from trainer.config.tables import HashedConfig
from trainer.layers.tables.contract import LinearTable, Part, TableFacts
from trainer.layers.tables.hashing import hash_rows, special_or


class HashedTable(LinearTable):
    """One matrix of fewer rows than indices."""

    def __init__(self, config: HashedConfig, facts: TableFacts) -> None:
        """Creates the matrix."""
        super().__init__(config, facts)
        self._rows, self._special = config.rows, facts.num_special
        shape = (facts.num_special + config.rows, facts.dimension)
        self.table = self.add_weight(name="table", shape=shape, initializer=facts.noise())

    def parts(self) -> Sequence[Part]:
        """The matrix; the row is the index's hash."""
        return [Part(self.table, self._row_of)]

    def _row_of(self, indices: tf.Tensor) -> tf.Tensor:
        return special_or(indices, self._special, hash_rows(indices, self._rows))
