"""The stored embeddings of all items, and the exact scan over them.

Shapes: B queries, N items, D embedding components, R rows of one block, K results.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Read: TypeAlias = Callable[[tf.Variable], tf.Tensor]
"""Reads the rows in question from a variable with one entry an item: `[N]` to `[1, R]` or `[B, R]`."""

Admit: TypeAlias = Callable[[Read], tf.Tensor]
"""Looks at the rows in question and returns `[1, R]` or `[B, R] bool`: may this query be given this row?"""

SCORES_PER_BLOCK = 1 << 22
"""Scores held at once by a scan: 16 MiB of float32, whatever the batch and the catalogue."""

MIN_BLOCK_ROWS = 1024
MAX_BLOCK_ROWS = 1 << 18


class Vectors(tf.Module):
    """Item embeddings in float32, bfloat16 or int8, read back as float32."""

    def __init__(self, values: tf.Variable, multipliers: tf.Variable | None = None) -> None:
        """Wraps variables that exist already, so that ScaNN's own copy is not stored twice.

        Args:
            values: `[N, D]` float32, bfloat16 or int8.
            multipliers: `[D] float32` that the int8 values were multiplied by, one a component.
        """
        super().__init__()
        self.values = values
        self.multipliers = multipliers
        self.num_items, self.dim = (int(size) for size in values.shape)

    @classmethod
    def from_array(cls, embeddings: npt.NDArray[np.float32], dtype: tf.DType) -> "Vectors":
        """Stores `[N, D] float32` embeddings as `dtype`."""
        return cls(tf.Variable(tf.cast(embeddings, dtype), trainable=False, name="embeddings"))

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the embeddings `[..., D] float32` of rows `[...] int32`; row -1 stands for row 0."""
        return self._decode(read_rows(self.values, rows))

    def scan(self, queries: tf.Tensor, k: tf.Tensor, admit: Admit | None) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores all admitted items block by block and keeps the best.

        Args:
            queries: `[B, D] float32`.
            k: `[] int32`.
            admit: which rows may be returned; None: all.

        Returns:
            Scores `[B, K] float32` (-inf where there is no item) and rows `[B, K] int32`, with K at most k.
        """
        num_queries = tf.shape(queries)[0]
        block_rows = tf.clip_by_value(SCORES_PER_BLOCK // tf.maximum(num_queries, 1), MIN_BLOCK_ROWS, MAX_BLOCK_ROWS)
        # An empty batch has nothing to find, so it visits no block: callers may scan "the queries that need it".
        stop = tf.where(num_queries > 0, self.num_items, 0)

        def add_block(start: tf.Tensor, scores: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
            end = tf.minimum(start + block_rows, self.num_items)
            block_scores, block_found = self._block_top_k(queries, slice(start, end), k, admit)
            scores, rows = tf.concat([scores, block_scores], axis=1), tf.concat([rows, block_found], axis=1)
            return end, *best(scores, rows, k)

        _, scores, rows = tf.while_loop(
            lambda start, *_: start < stop,
            add_block,
            (tf.constant(0), tf.zeros([num_queries, 0]), tf.zeros([num_queries, 0], tf.int32)),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None]), tf.TensorShape([None, None])),
            parallel_iterations=1,
            # A bound that a server can see: a graph that is sure to end needs no watch over its deadline.
            maximum_iterations=-(-self.num_items // MIN_BLOCK_ROWS),
        )
        return scores, rows

    def _block_top_k(
        self, queries: tf.Tensor, block: slice, k: tf.Tensor, admit: Admit | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        rows = tf.range(block.start, block.stop)
        if admit is None:
            scores = tf.matmul(queries, self._decode(self.values[block]), transpose_b=True)
            return best(scores, rows[tf.newaxis], k)
        # A slice is read without copying, which a gather of the same rows is not.
        is_admitted = admit(lambda column: column[block][tf.newaxis])
        # Rows that no query may have are dropped before their embeddings are read: a selective filter is cheap.
        kept = tf.where(tf.reduce_any(is_admitted, axis=0))[:, 0]
        rows = tf.gather(rows, kept)
        scores = tf.matmul(queries, self.gather(rows), transpose_b=True)
        scores = tf.where(tf.gather(is_admitted, kept, axis=1), scores, -float("inf"))
        return best(scores, rows[tf.newaxis], k)

    def _decode(self, values: tf.Tensor) -> tf.Tensor:
        values = tf.cast(values, tf.float32)
        return values if self.multipliers is None else values / self.multipliers


def read_rows(column: tf.Variable, rows: tf.Tensor) -> tf.Tensor:
    """Returns the entries of rows `[...] int32`; row -1 stands for row 0.

    The variable is read before it is gathered from. Gathering from the variable itself would switch it to copying on
    every read from then on (25 ms for a million embeddings), ScaNN's and the scans' included.
    """
    return tf.gather(column.value(), tf.maximum(rows, 0))


def best(scores: tf.Tensor, rows: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best at most k columns, best first; equal scores keep their order.

    Args:
        scores: `[B, C] float32`; NaN counts as -inf.
        rows: `[B, C]` or `[1, C] int32`.
        k: `[] int32`.

    Returns:
        Scores and rows `[B, min(k, C)]`.
    """
    scores = tf.where(tf.math.is_nan(scores), -float("inf"), scores)
    top = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
    rows = tf.broadcast_to(rows, tf.shape(scores))
    return top.values, tf.gather(rows, top.indices, batch_dims=1)
