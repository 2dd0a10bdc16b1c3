"""What every kind of re-ranking is: a gain of each candidate, given the items chosen before it.

A new one is a subclass in a file of its own, with a dataclass of its options and a line in
`trainer.config.reranking.RERANKERS`; the contract tests run it.

Shapes: B queries, n candidates, D components, S steps.
"""

from abc import ABC, abstractmethod
from typing import TypeAlias

import tensorflow as tf

State: TypeAlias = tuple[tf.Tensor, ...]
"""What a kind remembers of the items chosen so far; the same ranks at each step."""


class Reranker(ABC):
    """Gains of a greedy selection over the candidates of some queries."""

    def __init__(self, relevance: tf.Tensor, vectors: tf.Tensor) -> None:
        """Takes the candidates.

        Args:
            relevance: `[B, n] float32` from 0 to 1, best first.
            vectors: `[B, n, D] float32` of length 1, or 0 for items without a vector.
        """
        self.relevance, self.vectors = relevance, vectors

    @abstractmethod
    def start(self, steps: tf.Tensor) -> State:
        """The state before anything is chosen; `steps`, `[] int32`, items will be."""

    @abstractmethod
    def gains(self, state: State, strength: tf.Tensor) -> tf.Tensor:
        """What choosing each candidate next would gain.

        Args:
            state: Of the items chosen so far.
            strength: `[B, 1] float32` from 0, relevance alone, to 1, diversity alone.

        Returns:
            `[B, n] float32`, finite; any number for items that are chosen already.
        """

    @abstractmethod
    def add(self, state: State, step: tf.Tensor, chosen: tf.Tensor) -> State:
        """The state with one more item for each query; `step` is `[] int32`, `chosen` `[B] int32`."""

    def similarities(self, chosen: tf.Tensor) -> tf.Tensor:
        """Cosines of all candidates with the chosen one of each query: `[B] int32` to `[B, n] float32`."""
        of_chosen = tf.gather(self.vectors, chosen, batch_dims=1)
        return tf.einsum("bnd,bd->bn", self.vectors, of_chosen)
