"""Negatives that are drawn by their train frequency."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.config.negatives import PopularConfig
from trainer.retrieval.negatives.base import NegativeSource, SampledNegatives, all_items, weighted


class PopularItems(NegativeSource):
    """Items in proportion to (train frequency + 1)^alpha, by systematic sampling.

    Alpha 0.75 is word2vec's (https://arxiv.org/abs/1310.4546), 0 is uniform, 1 nearly what a batch of positives is.
    """

    def __init__(self, config: PopularConfig, train_frequency: npt.NDArray[np.int64], seed: int) -> None:
        """Computes how likely each item is."""
        mass = (train_frequency + 1.0) ** config.popularity_power
        share = mass / mass.sum()
        self._upper = tf.constant(np.cumsum(share)[:-1], tf.float64)
        self._log_expected = tf.constant(np.log(share * config.num_negatives), tf.float32)
        self._num_items, self._num_negatives, self._seed = len(train_frequency), config.num_negatives, seed

    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        """Returns distinct rows, each weighing as often as it was drawn over its expected number.

        A draw as large as the catalogue is the catalogue.
        """
        if self._num_negatives >= self._num_items:
            return all_items(self._num_items)
        uniform = tf.random.stateless_uniform([self._num_negatives], tf.stack([step, self._seed]), dtype=tf.float64)
        points = (tf.range(self._num_negatives, dtype=tf.float64) + uniform) / self._num_negatives
        return weighted(tf.searchsorted(self._upper, points, side="right"), self._log_expected)
