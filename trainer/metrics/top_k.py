"""Exact top-k over the whole catalogue, in blocks of bounded memory.

Ranked lists are in descending order of score. Equal scores are ordered by item row, so that a ranking depends on the
scores alone and not on how the work was cut.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from trainer.metrics.protocol import UNKNOWN, Bool, EvaluationSet, Float, Int, Ragged

BLOCK_BYTES = 16 << 20
"""Scores a thread holds at once: the fastest of 4 to 64 MiB on 2 cores, for 41,000 and for 1,000,000 items."""
ITEM_BLOCK = 1 << 16
"""Items scored at once. Larger catalogues are ranked block by block and merged."""
_GROUP = 32
"""Scores a group, of which only the largest helps to find the threshold."""


@dataclass(frozen=True)
class Rankings:
    """The best items of each query."""

    item_rows: Int
    """`[queries, k] int64`: best first; `UNKNOWN` where a query has fewer than k items left to rank."""
    scores: Float
    """`[queries, k] float32`: descending; -inf where `item_rows` is `UNKNOWN`."""


class Scorer(Protocol):
    """What can score every item of the catalogue for a set of queries."""

    def score(self, queries: EvaluationSet) -> Float:
        """Returns `[queries, num_items] float32`, higher is better."""


def rank_by_scorer(scorer: Scorer, queries: EvaluationSet, k: int, *, exclude_seen: bool = True) -> Rankings:
    """Ranks the catalogue by a model that scores all items at once.

    Args:
        scorer: a fitted baseline, or anything that scores every item.
        queries: the queries to answer.
        k: items to return for each query.
        exclude_seen: whether the items of `queries.seen` are left out.

    Raises:
        ValueError: if a score is NaN.
    """
    blocks = []
    for start, stop in _blocks(len(queries), _rows_for(queries.num_items)):
        block = queries.slice(start, stop)
        scores = np.array(scorer.score(block), dtype=np.float32)  # a copy: seen items are overwritten in it
        if np.isnan(scores).any():
            raise ValueError("scores must not be NaN: the model has diverged")
        blocks.append(_top_k(scores, k, block.seen if exclude_seen else None))
    return _stack(blocks, k)


def rank_by_inner_product(
    queries: Float, items: Float, k: int, *, seen: Ragged | None = None, added: sp.csr_array | None = None
) -> Rankings:
    """Ranks the catalogue by the inner product of query and item vectors.

    Args:
        queries: `[queries, d] float32`.
        items: `[num_items, d] float32`.
        k: items to return for each query.
        seen: item rows to leave out of each query's ranking; None ranks all.
        added: `[queries, num_items] float32`, sparse: what is added to the products; nothing if None.

    Raises:
        ValueError: if a vector, or what is added, holds a NaN or an infinity.
    """
    given = (queries, items) if added is None else (queries, items, added.data)
    if not all(np.isfinite(values).all() for values in given):
        raise ValueError("query and item vectors, and what is added, must be finite: the model has diverged")

    def rank(block: tuple[int, int]) -> Rankings:
        start, stop = block
        seen_here = None if seen is None else seen.slice(start, stop)
        return _rank_query_block(queries[start:stop], items, k, seen_here, None if added is None else added[start:stop])

    # One thread a block, from the product to the sorted list: NumPy's selection uses one core, its product all.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        return _stack(list(threads.map(rank, _blocks(len(queries), _rows_for(min(len(items), ITEM_BLOCK))))), k)


def largest(scores: Float, k: int) -> Bool:
    """`[n] bool`: the k largest of `scores` (`[n] float32`, n >= k); of equal ones at the end those that come first."""
    kth = np.partition(scores, len(scores) - k)[len(scores) - k]
    chosen: Bool = scores > kth
    tied = np.flatnonzero(scores == kth)
    chosen[tied[: k - np.count_nonzero(chosen)]] = True
    return chosen


def _rank_query_block(
    queries: Float, items: Float, k: int, seen: Ragged | None, added: sp.csr_array | None
) -> Rankings:
    best: Rankings | None = None
    for first, end in _blocks(len(items), ITEM_BLOCK):
        scores = queries @ items[first:end].T
        if added is not None:
            pairs = added[:, first:end].tocoo()
            scores[pairs.row, pairs.col] += pairs.data  # each pair is there once
        found = _top_k(scores, k, None if seen is None else _within(seen, first, end))
        rows = np.where(found.item_rows == UNKNOWN, UNKNOWN, found.item_rows + first)
        found = Rankings(rows, found.scores)
        best = found if best is None else merge(best, found, k)
    if best is None:
        raise ValueError("the catalogue is empty: there is nothing to rank")
    return best


def _top_k(scores: Float, k: int, seen: Ragged | None) -> Rankings:
    """Finds the k largest of each row; overwrites the scores of seen items."""
    if seen is not None:
        scores[seen.row_of_value, seen.values] = -np.inf
    num_rows, num_items = scores.shape
    threshold = _lower_bound(scores, k)
    candidates = scores >= threshold[:, None]
    counts = np.bincount(np.flatnonzero(candidates) // num_items, minlength=num_rows)
    # Many equal scores (a model that knows nothing of a query) would make every item a candidate.
    for row in np.flatnonzero(counts > 4 * k + 64):
        candidates[row] = largest(scores[row], min(k, num_items))
    flat = np.flatnonzero(candidates)
    row_of_flat = flat // num_items
    counts = np.bincount(row_of_flat, minlength=num_rows)
    column = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = max(k, int(counts.max(initial=0)))
    item_rows = np.full((num_rows, width), UNKNOWN, dtype=np.int64)
    kept = np.full((num_rows, width), -np.inf, dtype=np.float32)
    item_rows[row_of_flat, column] = flat - row_of_flat * num_items
    kept[row_of_flat, column] = scores.ravel()[flat]
    return _sorted_by_score(item_rows, kept, k)


def _lower_bound(scores: Float, k: int) -> Float:
    """`[rows] float32`: a score that at least k items of the row reach, or -inf where the row is short.

    The k-th largest of the largest scores of groups of items: it costs one streaming pass and a selection among
    few of the scores, where selecting among all of them would take most of the evaluation's time.
    """
    num_rows, num_items = scores.shape
    if k >= num_items:
        return np.full(num_rows, -np.inf, dtype=np.float32)
    num_groups = num_items // _GROUP
    if num_groups <= 2 * k:
        return np.partition(scores, num_items - k, axis=1)[:, num_items - k]
    of_groups = scores[:, : num_groups * _GROUP].reshape(num_rows, _GROUP, num_groups).max(axis=1)
    return np.partition(of_groups, num_groups - k, axis=1)[:, num_groups - k]


def _sorted_by_score(item_rows: Int, scores: Float, k: int) -> Rankings:
    """The first k by score; within equal scores the given order, which is that of the item rows, stays."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    sorted_scores = np.take_along_axis(scores, order, axis=1)
    sorted_rows = np.where(np.isneginf(sorted_scores), UNKNOWN, np.take_along_axis(item_rows, order, axis=1))
    return Rankings(sorted_rows, sorted_scores)


def merge(best: Rankings, found: Rankings, k: int) -> Rankings:
    """The best k of two rankings of the same queries over different items; the first one's win ties."""
    item_rows = np.concatenate([best.item_rows, found.item_rows], axis=1)
    return _sorted_by_score(item_rows, np.concatenate([best.scores, found.scores], axis=1), k)


def _within(seen: Ragged, first: int, end: int) -> Ragged:
    kept = seen.where((seen.values >= first) & (seen.values < end))
    return Ragged(kept.indptr, kept.values - first)


def _blocks(total: int, size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + size, total)) for start in range(0, total, size))


def _rows_for(num_items: int) -> int:
    return max(1, BLOCK_BYTES // (4 * max(1, num_items)))


def _stack(blocks: list[Rankings], k: int) -> Rankings:
    empty = Rankings(np.empty((0, k), np.int64), np.empty((0, k), np.float32))
    parts = [empty, *blocks]
    return Rankings(np.concatenate([p.item_rows for p in parts]), np.concatenate([p.scores for p in parts]))
