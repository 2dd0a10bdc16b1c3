"""From item embeddings to an index that reaches its target recall."""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.errors import InputError
from trainer.config.index import INDEXES, HashingConfig, IndexConfig
from trainer.index.base import Index
from trainer.index.exact import ExactIndex
from trainer.index.recall import measure_recall
from trainer.index.report import IndexReport

NUM_SAMPLED_QUERIES = 512
"""Queries used for tuning and for measuring, half each."""


@dataclass(frozen=True, kw_only=True)
class BuiltIndex:
    """An index ready to be put into a SavedModel, and what is known about it."""

    index: Index
    report: IndexReport


def build_index(
    embeddings: npt.NDArray[np.float32],
    config: IndexConfig,
    *,
    held_out_queries: npt.NDArray[np.float32] | None = None,
    seed: int,
) -> BuiltIndex:
    """Picks a kind, builds it, and tunes it to the target recall at the least latency.

    Args:
        embeddings: `[num_items, dim] float32`, finite, at least one item.
        config: what to build.
        held_out_queries: `[num_queries, dim] float32` query embeddings as they will come in serving, at least two.
            Half tune, the other half measure the recall of the report. None: item embeddings stand in, which is
            optimistic for models whose queries lie elsewhere.
        seed: Seed of the choice of queries; ScaNN's own clustering has no seed.

    Returns:
        The index and its report.

    Raises:
        InputError: the embeddings or queries have a wrong shape or hold NaN or infinity.
    """
    embeddings = _checked(embeddings, "item embeddings", at_least=1)
    queries = _choose_queries(embeddings, held_out_queries, seed)
    config = config.for_catalogue(len(embeddings))
    start = time.perf_counter()
    first: Index = INDEXES.implementation(config)(embeddings, config)
    built = time.perf_counter()
    exact = first if first.is_exact else ExactIndex(embeddings)
    index, curve = first.tuned(queries[::2], exact)
    recall = 1.0 if index.is_exact else measure_recall(index, exact, queries[1::2], config.tuned_k)
    report = IndexReport(
        kind=INDEXES.name_of(config),
        is_exact=index.is_exact,
        precision=index.vectors.values.dtype.name,
        num_items=index.num_items,
        dim=index.vectors.dim,
        tuned_k=config.tuned_k,
        target_recall=config.target_recall if isinstance(config, HashingConfig) else 1.0,
        recall=recall,
        num_queries=0 if index.is_exact else len(queries[1::2]),
        parameters=index.parameters,
        curve=curve,
        build_seconds=built - start,
        tuning_seconds=time.perf_counter() - built,
    )
    return BuiltIndex(index=index, report=report)


def _choose_queries(
    embeddings: npt.NDArray[np.float32], held_out_queries: npt.NDArray[np.float32] | None, seed: int
) -> npt.NDArray[np.float32]:
    pool = embeddings if held_out_queries is None else _checked(held_out_queries, "held-out queries", at_least=2)
    if pool.shape[1] != embeddings.shape[1]:
        raise InputError(f"held-out queries have {pool.shape[1]} components: expected the items' {embeddings.shape[1]}")
    size = min(NUM_SAMPLED_QUERIES, len(pool))
    chosen: npt.NDArray[np.float32] = pool[np.random.default_rng(seed).choice(len(pool), size, replace=False)]
    return chosen if size > 1 else np.repeat(chosen, 2, axis=0)


def _checked(values: npt.NDArray[np.float32], name: str, *, at_least: int) -> npt.NDArray[np.float32]:
    if values.ndim != 2 or len(values) < at_least or values.shape[1] == 0:
        raise InputError(f"{name} have shape {list(values.shape)}: expected [{at_least} or more, 1 or more]")
    values = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise InputError(f"{name} hold NaN or infinity at row {row}: expected finite numbers; did training diverge?")
    return values
