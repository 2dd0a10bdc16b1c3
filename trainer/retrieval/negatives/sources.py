"""Where negatives come from: rows of the catalogue, shared by the batch, with the weight each has in the softmax.

A source returns distinct rows in ascending order. `log_weights` correct for how they were drawn: with w the weight,
sum_j w_j exp(s_j) over the drawn rows estimates the sum over the whole catalogue without bias (Bengio & Senécal 2008,
https://doi.org/10.1109/TNN.2007.912312). The positive itself is never drawn, so its logit gets no correction
(https://arxiv.org/abs/2507.09331).
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.config.retrieval import LossConfig


class SampledNegatives(NamedTuple):
    """Some rows of the catalogue, the same ones on every replica."""

    rows: tf.Tensor
    """`[n] int32`, distinct and ascending."""
    log_weights: tf.Tensor
    """`[n] float32`, added to the logits of the rows."""


class NegativeSource(ABC):
    """Draws the negatives of a step."""

    @abstractmethod
    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        """The negatives of a step.

        Args:
            positive_rows: `[m] int32`, the positives of this replica's part of the batch.
            step: `[] int64`: the same step draws the same negatives.
        """


class AllItems(NegativeSource):
    """The whole catalogue: the softmax without approximation."""

    def __init__(self, num_items: int) -> None:
        """Takes the size of the catalogue."""
        self._rows = tf.range(num_items, dtype=tf.int32)

    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        """Every row with weight 1."""
        return SampledNegatives(self._rows, tf.zeros_like(self._rows, tf.float32))


class UniformItems(NegativeSource):
    """One item out of each of n equal stretches of the catalogue: uniform, without replacement.

    The catalogue is in order of frequency, so each draw also holds every popularity level, which lowers the variance.
    """

    def __init__(self, num_items: int, num_negatives: int, seed: int) -> None:
        """Takes the size of the catalogue and of a draw, which must not be larger."""
        self._edges = np.linspace(0, num_items, num_negatives + 1)
        self._log_weight = float(np.log(num_items / num_negatives))
        self._seed = seed

    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        """One row a stretch, each with weight items / n."""
        lower = tf.constant(np.ceil(self._edges[:-1] - 1e-9), tf.float32)
        width = tf.constant(np.ceil(self._edges[1:] - 1e-9), tf.float32) - lower
        uniform = tf.random.stateless_uniform(tf.shape(lower), tf.stack([step, self._seed]))
        rows = tf.cast(lower, tf.int32) + tf.cast(tf.floor(uniform * width), tf.int32)
        return SampledNegatives(rows, tf.fill(tf.shape(rows), self._log_weight))


class PopularItems(NegativeSource):
    """Items in proportion to (train frequency + 1)^alpha, by systematic sampling.

    Alpha 0.75 is word2vec's (https://arxiv.org/abs/1310.4546), 0 is uniform, 1 nearly what a batch of positives is.
    """

    def __init__(self, train_frequency: npt.NDArray[np.int64], num_negatives: int, alpha: float, seed: int) -> None:
        """Takes the positive training interactions of each item, `[items]`, the size of a draw, alpha and a seed."""
        mass = (train_frequency + 1.0) ** alpha
        share = mass / mass.sum()
        self._upper = tf.constant(np.cumsum(share)[:-1], tf.float64)
        self._log_expected = tf.constant(np.log(share * num_negatives), tf.float32)
        self._num_negatives, self._seed = num_negatives, seed

    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        """Distinct rows, each weighing as often as it was drawn over its expected number."""
        uniform = tf.random.stateless_uniform([self._num_negatives], tf.stack([step, self._seed]), dtype=tf.float64)
        points = (tf.range(self._num_negatives, dtype=tf.float64) + uniform) / self._num_negatives
        rows = tf.searchsorted(self._upper, points, side="right")
        return _weighted(rows, self._log_expected)


class InBatchItems(NegativeSource):
    """The positives of the whole batch, of all replicas; each stands for 1 / (its expected number in a batch).

    This is the sampled softmax of Yi et al. 2019 (https://doi.org/10.1145/3298689.3346996, Eq. 4 to 6): an item is
    drawn in proportion to its train frequency, so popular items are pushed down too much unless log Q is taken off.
    """

    def __init__(self, train_frequency: npt.NDArray[np.int64]) -> None:
        """Takes the positive training interactions of each item, `[items]`."""
        self._log_share = tf.constant(np.log(_shares(train_frequency)), tf.float32)

    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        """Distinct positives, each weighing as often as it occurred over its expected number."""
        rows = of_all_replicas(positive_rows)
        return _weighted(tf.sort(rows), self._log_share + tf.math.log(tf.cast(tf.size(rows), tf.float32)))


class MixedItems(NegativeSource):
    """The batch's positives and uniform items together (https://doi.org/10.1145/3366424.3386195, section 3.2).

    The uniform part shows the model the items that are never or hardly ever a positive, which a batch alone does not.
    """

    def __init__(self, train_frequency: npt.NDArray[np.int64], num_negatives: int, seed: int) -> None:
        """Takes the positive training interactions of each item, `[items]`, the uniform items a step and a seed."""
        num_items = len(train_frequency)
        self._share = tf.constant(_shares(train_frequency), tf.float32)
        self._uniform = UniformItems(num_items, min(num_negatives, num_items), seed)
        self._expected_uniform = min(num_negatives, num_items) / num_items

    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        """Distinct rows, each weighing as often as it occurred in either part over its expected number in both."""
        positives = of_all_replicas(positive_rows)
        rows = tf.sort(tf.concat([positives, self._uniform.draw(positives, step).rows], axis=0))
        expected = self._share * tf.cast(tf.size(positives), tf.float32) + self._expected_uniform
        return _weighted(rows, tf.math.log(expected))


class CrossBatchItems(NegativeSource, tf.Module):
    """The positives of the batch and the last ones before it, each standing for 1 / (its expected number among them).

    Cross-batch negative sampling (https://arxiv.org/abs/2110.15154) keeps the vectors of earlier batches, which grow
    stale as the model moves, with the correction of Yi et al. 2019. Here the memory holds row numbers and the tower
    embeds them anew, so nothing is stale and it may reach back any number of batches.
    """

    def __init__(self, train_frequency: npt.NDArray[np.int64], memory: int) -> None:
        """Takes the positive training interactions of each item, `[items]`, and how many earlier positives to keep."""
        super().__init__(name="cross_batch_items")
        self._log_share = tf.constant(np.log(_shares(train_frequency)), tf.float32)
        # Saved with the model, so that a resumed training remembers. Every replica sees the positives of all and keeps
        # its own copy of the same memory.
        self._memory = tf.Variable(
            tf.fill([memory], -1),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            name="memory",
        )

    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        """Distinct rows of memory and batch, each weighing as often as it occurred over its expected number."""
        memory = self._memory.read_value()
        rows = tf.concat([memory, of_all_replicas(positive_rows)], axis=0)
        self._memory.assign(rows[-tf.size(memory) :])
        known = tf.boolean_mask(rows, rows >= 0)
        return _weighted(tf.sort(known), self._log_share + tf.math.log(tf.cast(tf.size(known), tf.float32)))


def _shares(train_frequency: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    shares: npt.NDArray[np.float64] = np.maximum(train_frequency, 1) / max(1, train_frequency.sum())
    return shares


def of_all_replicas(positive_rows: tf.Tensor) -> tf.Tensor:
    """The rows, `[m] int32`, of every replica's part of the batch."""
    # Row numbers are gathered, not vectors: every replica then embeds the same rows itself, and the gradients of its
    # table are those of the whole batch without a differentiable exchange.
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return positive_rows
    return context.all_gather(positive_rows, axis=0)


def _weighted(rows: tf.Tensor, log_expected: tf.Tensor) -> SampledNegatives:
    """Ascending rows, some several times, as distinct ones with the logarithm of number / expected number."""
    distinct, _, counts = tf.unique_with_counts(rows)
    return SampledNegatives(distinct, tf.math.log(tf.cast(counts, tf.float32)) - tf.gather(log_expected, distinct))


def make_source(config: LossConfig, train_frequency: npt.NDArray[np.int64], seed: int) -> NegativeSource:
    """The source that the configuration names; a draw as large as the catalogue is the catalogue."""
    num_items, wanted = len(train_frequency), config.num_negatives
    if config.negatives == "in_batch":
        return InBatchItems(train_frequency)
    if config.negatives == "mixed":
        return MixedItems(train_frequency, wanted, seed)
    if config.negatives == "cross_batch":
        return CrossBatchItems(train_frequency, config.memory)
    if config.negatives == "all" or wanted >= num_items:
        return AllItems(num_items)
    if config.negatives == "popular":
        return PopularItems(train_frequency, wanted, config.popularity_power, seed)
    return UniformItems(num_items, wanted, seed)
