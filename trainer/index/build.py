"""From item embeddings to an index that reaches its target recall."""

import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from features.errors import InputError
from trainer.config.index import IndexConfig, IndexKind
from trainer.index.base import Index
from trainer.index.exact import ExactIndex
from trainer.index.recall import measure_recall, search_rows
from trainer.index.report import IndexReport, OperatingPoint

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
        seed: of the choice of queries; ScaNN's own clustering has no seed.

    Returns:
        The index and its report.

    Raises:
        InputError: the embeddings or queries have a wrong shape or hold NaN or infinity.
    """
    embeddings = _checked(embeddings, "item embeddings", at_least=1)
    queries = _choose_queries(embeddings, held_out_queries, seed)
    kind = config.kind_for(len(embeddings))
    if kind == "exact":
        return _build_exact(embeddings, config, queries[1::2])
    return _build_scann(embeddings, kind, config, queries)


def _build_exact(
    embeddings: npt.NDArray[np.float32], config: IndexConfig, test_queries: npt.NDArray[np.float32]
) -> BuiltIndex:
    start = time.perf_counter()
    index = ExactIndex(embeddings, config.precision)
    report = _report(index, "exact", config, time.perf_counter() - start)
    if not index.is_exact:
        report = _with_recall(report, index, ExactIndex(embeddings), test_queries)
    return BuiltIndex(index=index, report=report)


def _build_scann(
    embeddings: npt.NDArray[np.float32], kind: IndexKind, config: IndexConfig, queries: npt.NDArray[np.float32]
) -> BuiltIndex:
    # ScaNN is imported only where it is asked for, so that the exact index builds without the package.
    from trainer.index.scann import ScannIndex, initial_parameters
    from trainer.index.tuning import tune

    start = time.perf_counter()
    index = ScannIndex(embeddings, kind, config, initial_parameters(kind, len(embeddings), config))
    built = time.perf_counter()
    exact = ExactIndex(embeddings)
    curve: tuple[OperatingPoint, ...] = ()
    if kind != "scann_brute_force":
        expected = search_rows(exact, queries[::2], config.tuned_k)
        index.parameters, curve = tune(index, queries[::2], expected, config.target_recall)
    report = _with_recall(_report(index, kind, config, built - start), index, exact, queries[1::2])
    tuning_seconds = time.perf_counter() - built
    report = replace(report, parameters=index.parameters, curve=curve, tuning_seconds=tuning_seconds)
    return BuiltIndex(index=index, report=report)


def _report(index: Index, kind: IndexKind, config: IndexConfig, build_seconds: float) -> IndexReport:
    return IndexReport(
        kind=kind,
        is_exact=index.is_exact,
        precision=config.precision,
        num_items=index.num_items,
        dim=index.vectors.dim,
        tuned_k=config.tuned_k,
        target_recall=config.target_recall,
        recall=1.0,
        num_queries=0,
        parameters=None,
        curve=(),
        build_seconds=build_seconds,
        tuning_seconds=0.0,
    )


def _with_recall(report: IndexReport, index: Index, exact: Index, queries: npt.NDArray[np.float32]) -> IndexReport:
    recall = measure_recall(index, exact, queries, report.tuned_k)
    return replace(report, recall=recall, num_queries=len(queries))


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
