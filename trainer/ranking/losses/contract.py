"""What every loss of a ranking task is.

A new one is a subclass in a file of its own, with a dataclass of its options and a line in
`trainer.config.ranking.RANKING_LOSSES`; the contract test runs it.
"""

from abc import ABC, abstractmethod
from typing import Any

import tensorflow as tf


class RankingLoss(ABC):
    """Labels and scores of pairs in, their weighted sum of losses out."""

    def __init__(self, config: Any) -> None:
        """Keeps the options of the loss's kind."""
        self.config = config

    @abstractmethod
    def __call__(self, labels: tf.Tensor, scores: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """The loss of a batch.

        Args:
            labels: `[batch] float32`; in units of the head, see `trainer.ranking.heads`.
            scores: `[batch] float32`, of the task's head.
            weights: `[batch] float32`; 0 where the label is not known.

        Returns:
            `[] float32`, a sum over the batch.
        """
