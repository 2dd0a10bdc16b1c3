"""Recall of an index, measured against an exact one."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.index.base import Index

QUERIES_PER_BATCH = 256


def measure_recall(index: Index, exact: Index, queries: npt.NDArray[np.float32], k: int) -> float:
    """Returns the share of the exact top k that the index finds, averaged over queries.

    Args:
        index: the index to measure.
        exact: an index over the same embeddings whose `is_exact` holds.
        queries: `[num_queries, dim] float32`, at least one.
        k: items asked for.

    Returns:
        recall@k in [0, 1].
    """
    return recall_at_k(search_rows(index, queries, k), search_rows(exact, queries, k))


def recall_at_k(found: npt.NDArray[np.int32], expected: npt.NDArray[np.int32]) -> float:
    """Returns the share of expected rows found, over all queries; -1 marks a missing row.

    Args:
        found: `[num_queries, k] int32`.
        expected: `[num_queries, k] int32`.
    """
    hits = sum(np.isin(e[e >= 0], f).sum() for f, e in zip(found, expected, strict=True))
    return float(hits / max((expected >= 0).sum(), 1))


def search_rows(index: Index, queries: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int32]:
    """Returns the rows `[num_queries, k] int32` an index finds, searched in batches of bounded size."""
    search = tf.function(index.search, input_signature=search_signature(index), autograph=False)
    batches = np.split(queries, range(QUERIES_PER_BATCH, len(queries), QUERIES_PER_BATCH))
    return np.concatenate([search(batch, tf.constant(k)).rows.numpy() for batch in batches])


def search_signature(index: Index) -> list[tf.TensorSpec]:
    """Returns the input signature of `Index.search`, for any batch size."""
    return [tf.TensorSpec([None, index.vectors.dim], tf.float32, "queries"), tf.TensorSpec([], tf.int32, "k")]
