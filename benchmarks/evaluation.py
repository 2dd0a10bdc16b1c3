"""Exact evaluation over the whole catalogue, beside TFRS's FactorizedTopK on the same candidates and users.

    .venv/bin/python benchmarks/evaluation.py
    .venv/bin/python benchmarks/evaluation.py --users 256 --items 1000000 --only-ours

Vectors are random. FactorizedTopK is measured as the TFRS guide uses it, on a dataset of candidates in batches of 128,
then with larger batches, and on a BruteForce layer that holds all candidates. It reports the share of users whose one
target is among the top k; we rank and compute all metrics at both cut-offs. By id the shares agree. Without ids TFRS
compares the target's score with a list that holds the target too, and rounding puts it one rank too low at times.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from trainer.metrics.lists import query_metrics
from trainer.metrics.protocol import Ragged
from trainer.metrics.top_k import rank_by_inner_product

CUTOFFS = (10, 100)
USER_BATCH = 1024
Array = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Random query and item vectors, and one target for each query, near the top of its ranking."""

    queries: Array
    items: Array
    targets: npt.NDArray[np.int64]


def main() -> None:
    """Parses the sizes and measures each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=4096)
    parser.add_argument("--items", type=int, default=40_981, help="as many as Gowalla has")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3, help="the fastest counts")
    parser.add_argument("--only-ours", action="store_true", help="do not load TensorFlow")
    arguments = parser.parse_args()
    problem = make_problem(arguments.users, arguments.items, arguments.dim)
    print(f"recstack holds {peak_mebibytes(evaluate_ours, problem):.0f} MiB beside the vectors at its peak")
    ways = {"recstack": evaluate_ours} | ({} if arguments.only_ours else factorized_top_k_ways())
    table = Table(title=f"{arguments.users} users, {arguments.items} items, {arguments.dim} components")
    for column in ("", "seconds", "users/s", "recstack is faster by", *(f"hit rate@{k}" for k in CUTOFFS)):
        table.add_column(column)
    ours = 0.0
    for name, evaluate in ways.items():
        seconds, shares = min((timed(evaluate, problem) for _ in range(arguments.repeats)), key=lambda pair: pair[0])
        ours = ours or seconds
        rates = (f"{share:.4f}" for share in shares)
        table.add_row(name, f"{seconds:.2f}", f"{arguments.users / seconds:.0f}", f"{seconds / ours:.1f}", *rates)
    Console(width=120).print(table)


def make_problem(users: int, items: int, dim: int) -> Problem:
    """Draws vectors; each target is the best of 200 items drawn for its query, so that hit rates are not trivial."""
    rng = np.random.default_rng(0)
    queries, vectors = (rng.normal(size=(rows, dim)).astype(np.float32) for rows in (users, items))
    drawn = rng.integers(items, size=(users, 200))
    scores = np.stack([vectors[rows] @ query for rows, query in zip(drawn, queries, strict=True)])
    return Problem(queries=queries, items=vectors, targets=drawn[np.arange(users), scores.argmax(axis=1)])


def evaluate_ours(problem: Problem) -> list[float]:
    """Ranks the catalogue and computes every metric; returns the hit rates."""
    ranked = rank_by_inner_product(problem.queries, problem.items, max(CUTOFFS))
    targets = Ragged.from_lengths(np.ones(len(problem.targets), np.int64), problem.targets)
    metrics = query_metrics(ranked.item_rows, targets, CUTOFFS)
    return [float(metrics[f"hit_rate@{k}"].mean()) for k in CUTOFFS]


def factorized_top_k_ways() -> dict[str, Callable[[Problem], list[float]]]:
    """FactorizedTopK on a dataset of candidates and on a BruteForce layer."""
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    def evaluate(metric: "tfrs.metrics.FactorizedTopK", *inputs: npt.NDArray[Any]) -> list[float]:
        @tf.function
        def step(*batch: Any) -> None:
            metric.update_state(*batch)

        for batch in tf.data.Dataset.from_tensor_slices(inputs).batch(USER_BATCH):
            step(*batch)
        return [float(value) for value in metric.result()]

    def streaming(problem: Problem, batch: int) -> list[float]:
        candidates = tf.data.Dataset.from_tensor_slices(problem.items).batch(batch)
        metric = tfrs.metrics.FactorizedTopK(candidates, ks=CUTOFFS)
        return evaluate(metric, problem.queries, problem.items[problem.targets])

    def brute_force(problem: Problem) -> list[float]:
        layer = tfrs.layers.factorized_top_k.BruteForce(k=max(CUTOFFS))
        layer.index(problem.items, np.arange(len(problem.items)))
        metric = tfrs.metrics.FactorizedTopK(layer, ks=CUTOFFS)
        return evaluate(metric, problem.queries, problem.items[problem.targets], problem.targets)

    return {
        "FactorizedTopK, candidates in batches of 128": lambda problem: streaming(problem, 128),
        "FactorizedTopK, candidates in batches of 8192": lambda problem: streaming(problem, 8192),
        "FactorizedTopK on BruteForce, by id": brute_force,
    }


def timed(evaluate: Callable[[Problem], list[float]], problem: Problem) -> tuple[float, list[float]]:
    """Seconds and hit rates of one evaluation."""
    start = time.perf_counter()
    shares = evaluate(problem)
    return time.perf_counter() - start, shares


def peak_mebibytes(evaluate: Callable[[Problem], list[float]], problem: Problem) -> float:
    """The most that one evaluation allocates at once, in MiB."""
    tracemalloc.start()
    evaluate(problem)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


if __name__ == "__main__":
    main()
