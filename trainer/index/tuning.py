"""The recall/latency curve of a ScaNN index, and the cheapest point on it that reaches the target."""

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.index.recall import QUERIES_PER_BATCH, recall_at_k, search_signature
from trainer.index.report import OperatingPoint, ScannParameters
from trainer.index.scann import ScannIndex

RESCORING_FACTORS = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 16.0)
"""Candidates rescored, as multiples of k."""

NUM_TIMED_QUERIES = 50
LATENCY_TIE = 1.1
"""Points within this factor of the fastest count as equally fast; the one of highest recall is taken."""


def tune(
    index: ScannIndex, queries: npt.NDArray[np.float32], expected: npt.NDArray[np.int32], target_recall: float
) -> tuple[ScannParameters, tuple[OperatingPoint, ...]]:
    """Finds, for each rescoring count, the fewest leaves that reach the target, and takes the fastest of those pairs.

    Args:
        index: the index; its own parameters play no part.
        queries: `[num_queries, dim] float32`.
        expected: `[num_queries, tuned_k] int32`, the exact answers, -1 where there is none.
        target_recall: recall@tuned_k to reach.

    Returns:
        The chosen point and all measured points by latency. If no point reaches the target, the one of highest recall.
    """
    measure = _measurement(index, queries, expected)
    points: dict[tuple[int, int], OperatingPoint] = {}
    for num_rescored in _rescoring_counts(index):
        leaves = _leaf_counts(index.parameters.num_leaves)
        low, high = 0, len(leaves) - 1
        while low < high:
            middle = (low + high) // 2
            point = points[leaves[middle], num_rescored] = measure(leaves[middle], num_rescored)
            low, high = (low, middle) if point.recall >= target_recall else (middle + 1, high)
        points[leaves[low], num_rescored] = measure(leaves[low], num_rescored)
    chosen = _choose(list(points.values()), target_recall)
    parameters = ScannParameters(
        num_leaves=index.parameters.num_leaves,
        leaves_to_search=chosen.leaves_to_search,
        num_rescored=chosen.num_rescored,
    )
    return parameters, tuple(sorted(points.values(), key=lambda point: point.latency_ms))


def _choose(points: list[OperatingPoint], target_recall: float) -> OperatingPoint:
    reached = [point for point in points if point.recall >= target_recall]
    if not reached:
        return max(points, key=lambda point: point.recall)
    fastest = min(point.latency_ms for point in reached)
    return max((point for point in reached if point.latency_ms <= LATENCY_TIE * fastest), key=lambda p: p.recall)


def _rescoring_counts(index: ScannIndex) -> list[int]:
    return sorted({min(round(factor * index.tuned_k), index.num_items) for factor in RESCORING_FACTORS})


def _leaf_counts(num_leaves: int) -> list[int]:
    """Returns leaf counts to try, from 1 to all in steps of about a tenth; 0 alone where there is no tree."""
    return [int(count) for count in np.unique(np.geomspace(1, num_leaves, 64).round())] if num_leaves else [0]


def _measurement(
    index: ScannIndex, queries: npt.NDArray[np.float32], expected: npt.NDArray[np.int32]
) -> Callable[[int, int], OperatingPoint]:
    scalar = tf.TensorSpec([], tf.int32)
    search = tf.function(index.search_at, input_signature=[*search_signature(index), scalar, scalar])
    k = tf.constant(index.tuned_k)

    def measure(leaves: int, num_rescored: int) -> OperatingPoint:
        settings = (k, tf.constant(leaves), tf.constant(num_rescored))
        batches = np.split(queries, range(QUERIES_PER_BATCH, len(queries), QUERIES_PER_BATCH))
        found = np.concatenate([search(batch, *settings).rows.numpy() for batch in batches])
        seconds = [_seconds(search, query[np.newaxis], settings) for query in queries[:NUM_TIMED_QUERIES]]
        return OperatingPoint(
            leaves_to_search=leaves,
            num_rescored=num_rescored,
            recall=recall_at_k(found, expected),
            latency_ms=float(np.median(seconds) * 1e3),
        )

    return measure


def _seconds(
    search: Callable[..., tf.Tensor], query: npt.NDArray[np.float32], settings: tuple[tf.Tensor, ...]
) -> float:
    query = tf.constant(query)
    start = time.perf_counter()
    search(query, *settings)
    return time.perf_counter() - start
