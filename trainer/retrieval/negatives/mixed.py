"""The batch's positives and uniform items as negatives."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.config.negatives import MixedConfig
from trainer.retrieval.negatives.base import NegativeSource, SampledNegatives, of_all_replicas, shares, weighted
from trainer.retrieval.negatives.uniform import UniformItems


class MixedItems(NegativeSource):
    """The batch's positives and uniform items together (https://doi.org/10.1145/3366424.3386195, section 3.2).

    The uniform part shows the model the items that are never or hardly ever a positive, which a batch alone does not.
    """

    def __init__(self, config: MixedConfig, train_frequency: npt.NDArray[np.int64], seed: int) -> None:
        """Computes how likely each item is in either part."""
        num_items = len(train_frequency)
        self._share = tf.constant(shares(train_frequency), tf.float32)
        self._uniform = UniformItems(config, train_frequency, seed)
        self._expected_uniform = min(config.num_negatives, num_items) / num_items

    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        """Returns distinct rows, each weighing as often as it occurred in either part over its expected number."""
        positives = of_all_replicas(positive_rows)
        rows = tf.sort(tf.concat([positives, self._uniform.draw(positives, step).rows], axis=0))
        expected = self._share * tf.cast(tf.size(positives), tf.float32) + self._expected_uniform
        return weighted(rows, tf.math.log(expected))
