"""The contract of every retrieval loss: positives and the negatives they are compared with in, a loss each out.

Shapes: Q queries, m positives, n negatives, d components.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import tensorflow as tf

from trainer.config.losses import LOSSES, LossConfig
from trainer.retrieval.negatives.base import SampledNegatives
from trainer.retrieval.pairs import PairBonus


class Positives(NamedTuple):
    """The positives of a batch of queries."""

    query: tf.Tensor
    """`[m] int32`, the query of each."""
    rows: tf.Tensor
    """`[m] int32`, rows of the catalogue."""


class Comparison(NamedTuple):
    """What one model makes of a batch."""

    queries: tf.Tensor
    """`[Q, d] float32`, divided by the temperature, so that an inner product with an item is a logit."""
    positives: Positives
    positive_logits: tf.Tensor
    """`[m] float32`, with their bonus."""
    negatives: SampledNegatives
    items: tf.Tensor
    """`[n, d] float32`, of the negatives."""
    hits: tf.Tensor
    """`[hits, 2] int32`: query and position of negatives that are positives of the same query."""
    bonus: PairBonus | None
    """Logits that some pairs of query and negative have on top of their inner product."""


class Loss(ABC):
    """Compares positives with negatives."""

    def __init__(self, config: LossConfig, num_items: int) -> None:
        """Takes the options and the size of the catalogue."""
        self.config, self.num_items = config, num_items

    @abstractmethod
    def __call__(self, comparison: Comparison) -> tf.Tensor:
        """Returns the loss of each positive, `[m] float32`."""


def make_loss(config: LossConfig, num_items: int) -> Loss:
    """Makes the loss that the options belong to; the arguments are those of its constructor."""
    loss: Loss = LOSSES.implementation(config)(config, num_items)
    return loss
