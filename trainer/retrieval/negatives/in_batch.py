"""The batch's positives as negatives of one another."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.config.negatives import InBatchConfig
from trainer.retrieval.negatives.base import NegativeSource, SampledNegatives, of_all_replicas, shares, weighted


class InBatchItems(NegativeSource):
    """The positives of the whole batch, of all replicas; each stands for 1 / (its expected number in a batch).

    This is the sampled softmax of Yi et al. 2019 (https://doi.org/10.1145/3298689.3346996, Eq. 4 to 6): an item is
    drawn in proportion to its train frequency, so popular items are pushed down too much unless log Q is taken off.
    """

    def __init__(self, config: InBatchConfig, train_frequency: npt.NDArray[np.int64], seed: int) -> None:
        """Computes how likely each item is."""
        self._log_share = tf.constant(np.log(shares(train_frequency)), tf.float32)

    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        """Returns distinct positives, each weighing as often as it occurred over its expected number."""
        rows = of_all_replicas(positive_rows)
        return weighted(tf.sort(rows), self._log_share + tf.math.log(tf.cast(tf.size(rows), tf.float32)))
