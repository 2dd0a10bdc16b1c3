"""How long the second stage takes for the candidates of one query, on one core, untrained but of full size.

    .venv/bin/python benchmarks/second_stage.py

The list ranker with all its features, and each network of the ranking model, over 100,000 items. Both run inside
TensorFlow as the SavedModel does, without a server; `serving_speed.py` times whole calls. CPU ms is the mean of a call.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import served_models as made
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from trainer.config.ranking import NETWORKS
from trainer.data.catalogue import load_catalogue
from trainer.export.orders import Found
from trainer.ranking.model import RankingModel

ITEMS = 100_000
SIZES = ((20, 100), (50, 500), (300, 300))
"""Entries of the history and candidates."""
CALLS = 200
NOW = 1_000_000_000
"""Seconds since 1970-01-01 UTC, and the newest time of a history."""


def main() -> None:
    """Times both stages."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    table = Table(
        "second stage", "history", "candidates", "p50 ms", "p99 ms", "CPU ms", title=f"{ITEMS:,} items, one query"
    )
    for name, history, candidates, call in (*list_ranker(), *ranking_networks()):
        milliseconds, cpu = timed(call)
        quantiles = (f"{np.percentile(milliseconds, share):.2f}" for share in (50, 99))
        table.add_row(name, str(history), str(candidates), *quantiles, f"{cpu:.2f}")
    Console().print(table)


def list_ranker() -> Iterator[tuple[str, int, int, Callable[[], object]]]:
    """The list ranker for each size."""
    rng = np.random.default_rng(0)
    order = made.list_order(ITEMS, rng)

    @tf.function(autograph=False, reduce_retracing=True)
    def rank(history: tf.Tensor, times: tf.Tensor, rows: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        now = tf.fill([1], tf.constant(NOW, tf.int64))
        return order.log_chances(
            Found(query={}, history=history, history_times=times, asked_at=now, rows=rows, scores=scores)
        )

    for history, candidates in SIZES:
        entries, rows = (tf.constant(rng.integers(0, ITEMS, (1, size), np.int32)) for size in (history, candidates))
        times = tf.constant(np.sort(rng.integers(1, NOW, (1, history))))
        scores = tf.constant(-np.sort(-rng.random((1, candidates), np.float32)))
        yield "list ranker", history, candidates, lambda given=(entries, times, rows, scores): rank(*given).numpy()


def ranking_networks() -> Iterator[tuple[str, int, int, Callable[[], object]]]:
    """The ranking model with each network for the size in the middle; its history is as long as the schema's."""
    candidates = SIZES[1][1]
    with tempfile.TemporaryDirectory() as directory:
        layout = DatasetLayout(Path(directory))
        made.write_learnt_parts(layout, ITEMS)
        encoder = SchemaEncoder(made.SCHEMA, layout)
        catalogue = load_catalogue(layout, encoder)
        query = encoder.encode_query(
            {"user_id": tf.constant(["user-1"]), "history": tf.constant([["item-00000001"] * made.HISTORY])}
        )
        items, shared = catalogue.gather(tf.range(candidates)), tf.zeros([candidates], tf.int32)
        for kind in NETWORKS.names:
            config = replace(made.RANKING, network=NETWORKS.options(kind)())
            model = RankingModel(config, encoder, catalogue, seed=0)
            rank = tf.function(model.call, autograph=False)
            yield f"ranking, {kind}", made.HISTORY, candidates, lambda call=rank: call(query, items, shared)


def timed(call: Callable[[], object]) -> tuple[list[float], float]:
    """Milliseconds of each call, and the mean of the process's CPU milliseconds, after some that are not counted."""
    for _ in range(10):
        call()
    milliseconds, cpu = [], time.process_time()
    for _ in range(CALLS):
        started = time.perf_counter()
        call()
        milliseconds.append((time.perf_counter() - started) * 1000)
    return milliseconds, (time.process_time() - cpu) / CALLS * 1000


if __name__ == "__main__":
    main()
