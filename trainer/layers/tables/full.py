"""A row for each index."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from trainer.config.tables import FullConfig
from trainer.layers.stored_matrix import whole
from trainer.layers.tables.contract import Float32, LinearTable, Part, TableFacts


class FullTable(LinearTable):
    """One matrix with a row for each index."""

    def __init__(self, config: FullConfig, facts: TableFacts) -> None:
        """Creates the matrix."""
        super().__init__(config, facts)
        self.table = self.add_weight(
            name="table", shape=(facts.num_indices, facts.dimension), initializer=facts.noise()
        )

    @property
    def rows_of_values(self) -> Mapping[str, str]:
        """The matrix."""
        return {"table": self.table_name}

    def parts(self) -> Sequence[Part]:
        """The matrix; the row is the index."""
        return [Part(self.table, tf.identity)]

    def all_vectors(self) -> tf.Tensor:
        """`[num_indices, D] float32`."""
        return whole(self.table)

    def fit(self, vectors: Float32, weights: Float32) -> None:
        """Each row is its vector."""
        self.table.assign(np.where(weights[:, None] > 0, vectors, self.table.numpy()).astype(np.float32))
