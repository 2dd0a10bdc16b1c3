"""The contract of every source of negatives: rows of the catalogue, shared by the batch, with weights for the softmax.

A source returns distinct rows in ascending order. `log_weights` correct for how they were drawn: with w the weight,
sum_j w_j exp(s_j) over the drawn rows estimates the sum over the whole catalogue without bias (Bengio & Senécal 2008,
https://doi.org/10.1109/TNN.2007.912312). The positive itself is never drawn, so its logit gets no correction
(https://arxiv.org/abs/2507.09331).
"""

from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.config.negatives import NEGATIVES, NegativesConfig


class SampledNegatives(NamedTuple):
    """Some rows of the catalogue, the same ones on every replica."""

    rows: tf.Tensor
    """`[n] int32`, distinct and ascending."""
    log_weights: tf.Tensor
    """`[n] float32`, added to the logits of the rows."""


class NegativeSource(ABC):
    """Draws the negatives of a step; a source with variables is a `tf.Module` too, so that they are saved."""

    @abstractmethod
    def __init__(self, config: NegativesConfig, train_frequency: npt.NDArray[np.int64], seed: int) -> None:
        """Prepares the draws.

        Args:
            config: Options of the source.
            train_frequency: `[items]`, positive training interactions of each item of the catalogue.
            seed: Of the draws.
        """

    @abstractmethod
    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        """Returns the negatives of a step.

        Args:
            positive_rows: `[m] int32`, the positives of this replica's part of the batch.
            step: `[] int64`; the same step draws the same negatives.
        """


def make_source(config: NegativesConfig, train_frequency: npt.NDArray[np.int64], seed: int) -> NegativeSource:
    """Makes the source that the options belong to; the arguments are those of its constructor."""
    source: NegativeSource = NEGATIVES.implementation(config)(config, train_frequency, seed)
    return source


def all_items(num_items: int) -> SampledNegatives:
    """Returns every row of the catalogue, with weight 1."""
    rows = tf.range(num_items, dtype=tf.int32)
    return SampledNegatives(rows, tf.zeros_like(rows, tf.float32))


def shares(train_frequency: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Returns each item's share of the training interactions, `[items]`; none is zero."""
    of_items: npt.NDArray[np.float64] = np.maximum(train_frequency, 1) / max(1, train_frequency.sum())
    return of_items


def of_all_replicas(positive_rows: tf.Tensor) -> tf.Tensor:
    """Returns the rows, `[m] int32`, of every replica's part of the batch."""
    # Row numbers are gathered, not vectors: every replica then embeds the same rows itself, and the gradients of its
    # table are those of the whole batch without a differentiable exchange.
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return positive_rows
    # With one device a process, TensorFlow places nothing by itself, and refuses to gather what has no place.
    devices = context.strategy.extended.worker_devices
    with tf.device(devices[0]) if len(devices) == 1 else nullcontext():
        return context.all_gather(tf.identity(positive_rows), axis=0)


def weighted(rows: tf.Tensor, log_expected: tf.Tensor) -> SampledNegatives:
    """Weighs rows by how often they were drawn.

    Args:
        rows: `[n] int32`, ascending, some several times.
        log_expected: `[items] float32`, the logarithm of each item's expected number of draws.

    Returns:
        The distinct rows, each with the logarithm of its number over the expected number.
    """
    distinct, places = tf.unique(rows)
    # XLA does not compile `unique_with_counts`.
    counts = tf.math.unsorted_segment_sum(tf.ones_like(places), places, tf.size(distinct))
    return SampledNegatives(distinct, tf.math.log(tf.cast(counts, tf.float32)) - tf.gather(log_expected, distinct))
