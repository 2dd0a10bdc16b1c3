"""Negatives that are drawn uniformly from the catalogue."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.config.negatives import DrawnConfig
from trainer.retrieval.negatives.base import NegativeSource, SampledNegatives


class UniformItems(NegativeSource):
    """Draws one item from each of n equal ranges of the catalogue: uniform, without replacement.

    The catalogue is in order of frequency, so each draw also holds every popularity level, which lowers the variance.
    """

    def __init__(self, config: DrawnConfig, train_frequency: npt.NDArray[np.int64], seed: int) -> None:
        """Cuts the catalogue into ranges; a draw of more than the catalogue is the catalogue."""
        num_items, num_negatives = len(train_frequency), min(config.num_negatives, len(train_frequency))
        self._edges = np.linspace(0, num_items, num_negatives + 1)
        self._log_weight = float(np.log(num_items / num_negatives))
        self._seed = seed

    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        """Returns one row from each range, each with weight items / n."""
        # Rows are counted as whole numbers: beyond 2^24, float32 does not tell each from the next.
        edges = np.ceil(self._edges - 1e-9).astype(np.int32)
        lower, width = tf.constant(edges[:-1]), tf.constant(np.diff(edges), tf.float32)
        uniform = tf.random.stateless_uniform(tf.shape(lower), tf.stack([step, self._seed]))
        rows = lower + tf.cast(tf.floor(uniform * width), tf.int32)
        return SampledNegatives(rows, tf.fill(tf.shape(rows), self._log_weight))
