"""Two small matrices whose rows together are different for each index.

Shi et al., "Compositional Embeddings Using Complementary Partitions for Memory-Efficient Recommendation Systems", 2019,
https://arxiv.org/abs/1909.02107, Section 3.
"""

from collections.abc import Sequence

import tensorflow as tf

from trainer.config.tables import QuotientRemainderConfig
from trainer.layers.tables.contract import LinearTable, Part, TableFacts
from trainer.layers.tables.hashing import special_or


class QuotientRemainderTable(LinearTable):
    """A row by the remainder and a row by the quotient of the index and the number of remainders.

    New values make the matrix of quotients longer and leave the rows of the others as they are.
    """

    def __init__(self, config: QuotientRemainderConfig, facts: TableFacts) -> None:
        """Creates both matrices; their sum or product varies as a row of a full table does."""
        super().__init__(config, facts)
        self._rows, self._special, self._is_sum = config.rows, facts.num_special, config.operation == "sum"
        quotients = -(-max(1, facts.num_indices - facts.num_special) // config.rows)
        factors = tf.keras.initializers.RandomNormal(stddev=1.0, seed=facts.seed + 1)
        self.remainders = self.add_weight(
            name="remainders",
            shape=(facts.num_special + config.rows, facts.dimension),
            initializer=facts.noise(scale=0.5**0.5 if self._is_sum else 1.0),
        )
        self.quotients = self.add_weight(
            name="quotients",
            shape=(facts.num_special + quotients, facts.dimension),
            initializer=facts.noise(1, 0.5**0.5) if self._is_sum else factors,
        )

    def parts(self) -> Sequence[Part]:
        """Both matrices."""
        return [Part(self.remainders, self._remainder), Part(self.quotients, self._quotient)]

    def call(self, indices: tf.Tensor) -> tf.Tensor:
        """`[...] int32` to `[..., D] float32`."""
        if self._is_sum:
            return super().call(indices)
        remainder, quotient = self.parts()
        return remainder.look_up(indices) * quotient.look_up(indices)

    def weighted_sum(self, indices: tf.Tensor, weights: tf.Tensor, *, training: bool) -> tf.Tensor:
        """As of any table: products do not add up by parts."""
        by_parts = super().weighted_sum if self._is_sum else super(LinearTable, self).weighted_sum
        return by_parts(indices, weights, training=training)

    def _remainder(self, indices: tf.Tensor) -> tf.Tensor:
        return special_or(indices, self._special, (indices - self._special) % self._rows)

    def _quotient(self, indices: tf.Tensor) -> tf.Tensor:
        return special_or(indices, self._special, (indices - self._special) // self._rows)
