"""The contract of every index; `trainer.config.index` has the table of kinds.

The class of a kind is made by `Class(embeddings, config)`: `[num_items, dim] float32` and the kind's options.
"""

from abc import abstractmethod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.index.report import OperatingPoint, ScannParameters
from trainer.index.vectors import Admit, Vectors


class TopK(NamedTuple):
    """The best items of each query, best first; what is missing at the end is row -1 with score -inf."""

    scores: tf.Tensor
    """`[batch, k] float32`, dot products."""

    rows: tf.Tensor
    """`[batch, k] int32`, rows of the embeddings the index was built from."""


class Tuned(NamedTuple):
    """An index at the operating point where it answers."""

    index: "Index"
    curve: tuple[OperatingPoint, ...]
    """Every point measured on the way, by latency."""


class Index(tf.Module):
    """Finds the items whose embeddings have the largest dot product with a query's.

    Cosine similarity is the same search over normalised embeddings. Every method works inside a `tf.function`,
    takes batches of any size, 0 included, and k as a tensor. A query that holds NaN finds nothing.
    """

    is_exact: bool
    """Whether answers equal a float32 scan over all items, up to rounding."""

    vectors: Vectors
    """The stored embeddings; exact scans read them too, so they are held once."""

    parameters: ScannParameters | None = None
    """The operating point, where the kind has one."""

    def tuned(self, queries: npt.NDArray[np.float32], exact: "Index") -> Tuned:
        """Returns the index at the cheapest operating point that reaches the recall its options ask for.

        Args:
            queries: `[num_queries, dim] float32`, as they will come in serving.
            exact: Gives the true answers.
        """
        return Tuned(self, ())

    @property
    def num_items(self) -> int:
        """Number of indexed items."""
        return self.vectors.num_items

    @abstractmethod
    def search(self, query_embeddings: tf.Tensor, k: tf.Tensor) -> TopK:
        """Returns the best `min(k, num_items)` items of each query, padded to k.

        Args:
            query_embeddings: `[batch, dim] float32`.
            k: `[] int32`, at least 0; may exceed the number of items.

        Returns:
            `[batch, k]` scores and rows without duplicates. How many of them are the true best depends on
            `is_exact`; how many there are does not.
        """

    def scan(self, query_embeddings: tf.Tensor, k: tf.Tensor, admit: Admit | None = None) -> TopK:
        """Returns the best items among those `admit` lets through, scoring every one of them.

        Args:
            query_embeddings: `[batch, dim] float32`.
            k: `[] int32`.
            admit: tells which rows may be returned; all of them if not given.

        Returns:
            `[batch, k]` scores and rows, exact up to the precision of the stored embeddings.
        """
        return pad_to_k(*self.vectors.scan(query_embeddings, k, admit), k)


def pad_to_k(scores: tf.Tensor, rows: tf.Tensor, k: tf.Tensor) -> TopK:
    """Returns k columns, marking what is missing with score -inf and row -1.

    Args:
        scores: `[batch, found] float32`, best first, at most k; NaN or -inf where nothing was found.
        rows: `[batch, found] int32`.
        k: `[] int32`.
    """
    # NaN compares false, so one comparison catches both ScaNN's NaN padding and masked scores.
    is_found = scores > -float("inf")
    missing = tf.convert_to_tensor([[0, 0], [0, k - tf.shape(scores)[1]]])
    return TopK(
        scores=tf.pad(tf.where(is_found, scores, -float("inf")), missing, constant_values=-float("inf")),
        rows=tf.pad(tf.where(is_found, rows, -1), missing, constant_values=-1),
    )
