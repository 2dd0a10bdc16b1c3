"""The whole catalogue as negatives."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.config.negatives import AllConfig
from trainer.retrieval.negatives.base import NegativeSource, SampledNegatives, all_items


class AllItems(NegativeSource):
    """The whole catalogue: the softmax without approximation."""

    def __init__(self, config: AllConfig, train_frequency: npt.NDArray[np.int64], seed: int) -> None:
        """Takes the size of the catalogue."""
        self._num_items = len(train_frequency)

    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        """Returns every row with weight 1."""
        return all_items(self._num_items)
