"""The recall/latency curve of a ScaNN index, and the cheapest point on it that reaches the target."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.index.recall import QUERIES_PER_BATCH, recall_at_k, search_signature
from trainer.index.report import OperatingPoint, ScannParameters
from trainer.index.scann import ScannIndex

RESCORING_FACTORS = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 16.0)
"""Candidates rescored, as multiples of k."""

NUM_TIMED_QUERIES = 64
NUM_REPEATS = 3
LATENCY_TIE = 1.1
"""Points within this factor of the fastest count as equally fast; the one of highest recall is taken."""


def tune(
    index: ScannIndex, queries: npt.NDArray[np.float32], expected: npt.NDArray[np.int32], target_recall: float
) -> tuple[ScannParameters, tuple[OperatingPoint, ...]]:
    """Finds, for each rescoring count, the fewest leaves that reach the target, and takes the fastest of those pairs.

    Args:
        index: the index; how it is tuned so far plays no part.
        queries: `[num_queries, dim] float32`.
        expected: `[num_queries, tuned_k] int32`, the exact answers, -1 where there is none.
        target_recall: recall@tuned_k to reach.

    Returns:
        The chosen point and all measured points by latency. If no point reaches the target, the one of highest recall.
    """
    measure = cache(_measurement(index, queries, expected))
    leaves = _leaf_counts(index.parameters.num_leaves)
    points: list[OperatingPoint] = []
    low = 0
    # The fewer candidates are rescored, the more leaves it takes: each count starts where the former ended, and once
    # all leaves do not suffice, fewer candidates will not do either.
    for num_rescored in _rescoring_counts(index):
        high = len(leaves) - 1
        while low < high:
            middle = (low + high) // 2
            points.append(measure(leaves[middle], num_rescored))
            low, high = (low, middle) if points[-1].recall >= target_recall else (middle + 1, high)
        points.append(measure(leaves[low], num_rescored))
        if points[-1].recall < target_recall:
            break
    chosen = _choose(points, target_recall)
    parameters = replace(index.parameters, leaves_to_search=chosen.leaves_to_search, num_rescored=chosen.num_rescored)
    return parameters, tuple(sorted(set(points), key=lambda point: point.latency_ms))


def _choose(points: list[OperatingPoint], target_recall: float) -> OperatingPoint:
    reached = [point for point in points if point.recall >= target_recall]
    if not reached:
        return max(points, key=lambda point: point.recall)
    fastest = min(point.latency_ms for point in reached)
    return max((point for point in reached if point.latency_ms <= LATENCY_TIE * fastest), key=lambda p: p.recall)


def _rescoring_counts(index: ScannIndex) -> list[int]:
    counts = {min(round(factor * index.tuned_k), index.num_items) for factor in RESCORING_FACTORS}
    return sorted(counts, reverse=True)


def _leaf_counts(num_leaves: int) -> list[int]:
    """Returns leaf counts to try, from 1 to all in steps of about a tenth; 0 alone where there is no tree."""
    return [int(count) for count in np.unique(np.geomspace(1, num_leaves, 64).round())] if num_leaves else [0]


def _measurement(
    index: ScannIndex, queries: npt.NDArray[np.float32], expected: npt.NDArray[np.int32]
) -> Callable[[int, int], OperatingPoint]:
    scalar = tf.TensorSpec([], tf.int32)
    signature = [*search_signature(index), scalar, scalar]
    search = tf.function(index.search_at, input_signature=signature, autograph=False)
    k = tf.constant(index.tuned_k)
    batches = np.split(queries, range(QUERIES_PER_BATCH, len(queries), QUERIES_PER_BATCH))

    @tf.function(input_signature=signature, autograph=False)
    def search_one_by_one(queries: tf.Tensor, k: tf.Tensor, leaves: tf.Tensor, num_rescored: tf.Tensor) -> tf.Tensor:
        # Inside one graph, because a call from Python costs several times what the search does.
        return tf.map_fn(
            lambda query: index.search_at(query[tf.newaxis], k, leaves, num_rescored).scores[0, 0],
            queries,
            parallel_iterations=1,
        )

    def measure(leaves: int, num_rescored: int) -> OperatingPoint:
        settings = (k, tf.constant(leaves), tf.constant(num_rescored))
        found = np.concatenate([search(batch, *settings).rows.numpy() for batch in batches])
        timed = tf.constant(queries[:NUM_TIMED_QUERIES])
        seconds = min(_seconds(lambda: search_one_by_one(timed, *settings)) for _ in range(NUM_REPEATS))
        return OperatingPoint(
            leaves_to_search=leaves,
            num_rescored=num_rescored,
            recall=recall_at_k(found, expected),
            latency_ms=seconds / len(timed) * 1e3,
        )

    return measure


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
