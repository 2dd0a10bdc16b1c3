"""Maximal marginal relevance.

Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries",
SIGIR 1998, section 2.
"""

import tensorflow as tf

from trainer.reranking.contract import Reranker, State

_LEAST_COSINE = -1.0


class MMR(Reranker):
    """The gain of i is (1 - strength) relevance_i - strength max over the chosen j of cos(i, j).

    The paper's λ is 1 - strength.
    """

    def start(self, steps: tf.Tensor) -> State:
        """The largest cosine with a chosen item, the least possible at first: `[B, n]`."""
        return (tf.fill(tf.shape(self.relevance), _LEAST_COSINE),)

    def gains(self, state: State, strength: tf.Tensor) -> tf.Tensor:
        """The paper's linear combination."""
        (nearest,) = state
        return (1.0 - strength) * self.relevance - strength * nearest

    def add(self, state: State, step: tf.Tensor, chosen: tf.Tensor) -> State:
        """The maximum with one more item."""
        (nearest,) = state
        return (tf.maximum(nearest, self.similarities(chosen)),)
