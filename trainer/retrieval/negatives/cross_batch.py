"""The positives of the batch and of earlier ones as negatives."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.config.negatives import CrossBatchConfig
from trainer.retrieval.negatives.base import NegativeSource, SampledNegatives, of_all_replicas, shares, weighted


class CrossBatchItems(NegativeSource, tf.Module):
    """The positives of the batch and the last ones before it, each standing for 1 / (its expected number among them).

    Cross-batch negative sampling (https://arxiv.org/abs/2110.15154) keeps the vectors of earlier batches, which grow
    stale as the model moves, with the correction of Yi et al. 2019. Here the memory holds row numbers and the tower
    embeds them anew, so nothing is stale and it may reach back any number of batches.
    """

    def __init__(self, config: CrossBatchConfig, train_frequency: npt.NDArray[np.int64], seed: int) -> None:
        """Makes room for the memory."""
        tf.Module.__init__(self, name="cross_batch_items")
        self._log_share = tf.constant(np.log(shares(train_frequency)), tf.float32)
        # Saved with the model, so that a resumed training remembers. Every replica sees the positives of all and keeps
        # its own copy of the same memory.
        self._memory = tf.Variable(
            tf.fill([config.memory], -1),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            name="memory",
        )

    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        """Returns distinct rows of memory and batch, each weighing as often as it occurred over its expected number."""
        memory = self._memory.read_value()
        rows = tf.concat([memory, of_all_replicas(positive_rows)], axis=0)
        self._memory.assign(rows[-tf.size(memory) :])
        known = tf.boolean_mask(rows, rows >= 0)
        return weighted(tf.sort(known), self._log_share + tf.math.log(tf.cast(tf.size(known), tf.float32)))
