"""Builds, saves, loads and queries the index kinds, beside raw ScaNN on the same settings.

    .venv/bin/python benchmarks/index.py 100000 1000000
    .venv/bin/python benchmarks/index.py 100000 1000000 10000000 --precision int8
    .venv/bin/python benchmarks/index.py 9000 --kind scann_tree

Items are unit vectors of 64 components around a subspace of 16, as trained towers give them. Everything is measured
one query at a time, through a TensorFlow session on the single-threaded executor, as `recstack serve` does; raw ScaNN
is its own Python binding (`scann_ops_pybind`) on the same parameters and, because a session call costs something by
itself, also its graph operation alone. Calls take turns, and each number is the best of several turns, so that other
work on the machine disturbs all alike.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import tensorflow as tf
from rich.console import Console
from rich.table import Table
from scann.scann_ops.py import scann_ops, scann_ops_pybind
from scann.scann_ops.py.scann_builder import ReorderType
from tensorflow.core.protobuf import config_pb2

from features.serialization import structure
from trainer.config.index import INDEXES, IndexConfig, ScannTreeConfig
from trainer.index.attributes import ItemAttributes
from trainer.index.build import BuiltIndex, build_index
from trainer.index.exact import ExactIndex
from trainer.index.filtered_retriever import Retriever
from trainer.index.recall import recall_at_k, search_rows, search_signature
from trainer.index.scann import ScannIndex

DIM, SUBSPACE, K = 64, 16, 100
NUM_TIMED, NUM_JUDGED, NUM_TURNS = 200, 100, 5
BLOCK = 1 << 18
# Building the binding's own index takes as long and as much memory again.
MOST_ITEMS_FOR_BINDING = 2_000_000
SELECTIVITIES = (0.5, 0.05, 0.005)
Call = Callable[..., Any]
Array = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Items, held-out queries for tuning, and queries for measuring."""

    items: Array
    held_out: Array
    queries: Array
    attribute: Array
    """Uniform in [0, 1): `attribute_max` of s lets a share s of the items through."""


def main() -> None:
    """Parses the sizes and measures each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", type=int, nargs="+", help="numbers of items")
    parser.add_argument("--kind", default="auto", choices=INDEXES.names, help="index kind")
    parser.add_argument("--precision", help="precision of the stored embeddings, for a kind other than auto")
    arguments = parser.parse_args()
    table = Table("measure", *(f"{size:,} items" for size in arguments.sizes), title="index, k = 100, 64 components")
    options = {name: value for name, value in vars(arguments).items() if name in ("kind", "precision") and value}
    columns = [measure(size, structure(options, IndexConfig, "index")) for size in arguments.sizes]
    for name in max(columns, key=len):
        table.add_row(name, *(column.get(name, "-") for column in columns))
    Console(width=120).print(table)


def measure(num_items: int, config: IndexConfig) -> dict[str, str]:
    """Returns the rows of the table for one catalogue size."""
    catalogue = make_catalogue(num_items)
    built = build_index(catalogue.items, config, held_out_queries=catalogue.held_out, seed=0)
    report = built.report
    rows = {
        "kind": report.kind,
        "parameters": "-" if report.parameters is None else str(tuple(vars(report.parameters).values())),
        "build": f"{report.build_seconds:.1f} s",
        "tuning": f"{report.tuning_seconds:.1f} s",
        "recall@100": f"{report.recall:.4f}",
    }
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        save(built, catalogue, directory)
        rows["ids, attributes and save"] = f"{time.perf_counter() - start:.1f} s"
        return rows | measure_size(built, directory) | measure_queries(built, catalogue, directory)


def make_catalogue(num_items: int) -> Catalogue:
    """Returns unit vectors of low intrinsic dimension."""
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(SUBSPACE, DIM)).astype(np.float32)

    def vectors(num: int) -> Array:
        values = np.empty((num, DIM), np.float32)
        for start in range(0, num, BLOCK):
            block = values[start : start + BLOCK]
            np.matmul(rng.standard_normal((len(block), SUBSPACE), np.float32), basis, out=block)
            block += 0.5 * rng.standard_normal((len(block), DIM), np.float32)
            block /= np.linalg.norm(block, axis=1, keepdims=True)
        return values

    attribute = rng.random(num_items, np.float32)
    return Catalogue(items=vectors(num_items), held_out=vectors(512), queries=vectors(NUM_TIMED), attribute=attribute)


def item_ids(num_items: int) -> list[bytes]:
    """Returns ids as long as a typical catalogue's."""
    return [f"item-{row:08d}".encode() for row in range(num_items)]


def save(built: BuiltIndex, catalogue: Catalogue, directory: str) -> None:
    """Saves the signatures that are measured."""
    attributes = ItemAttributes(numeric={"attribute": catalogue.attribute})
    retriever = Retriever(built.index, item_ids(len(catalogue.items)), attributes)

    def retrieve(queries: tf.Tensor, k: tf.Tensor, exclude_item_ids: tf.Tensor = None, **filters: tf.Tensor) -> Any:
        return retriever.retrieve(queries, k, exclude_item_ids, filters)._asdict()

    plain = dict(zip(("queries", "k"), search_signature(built.index), strict=True))
    exclude = {"exclude_item_ids": tf.TensorSpec([None, None], tf.string)}
    signatures = {
        "plain": tf.function(retrieve).get_concrete_function(**plain),
        "exclude": tf.function(retrieve).get_concrete_function(**plain | exclude),
        "filter": tf.function(retrieve).get_concrete_function(**plain | exclude | retriever.filter_specs()),
    }
    if isinstance(built.index, ScannIndex):
        signatures["raw"] = raw_scann_operation(built.index).get_concrete_function(**plain)
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    tf.saved_model.save(retriever, directory, signatures=signatures, options=options)


def raw_scann_operation(index: ScannIndex) -> tf.types.experimental.PolymorphicFunction:
    """Returns ScaNN's own operation for one query at the tuned point, with nothing around it."""

    @tf.function
    def raw(queries: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        handle = scann_ops.tensors_to_scann(*index.state, shared_name=index.searcher_name)
        point = index.parameters
        rows, scores = scann_ops.ScannSearcher(handle).search(
            queries[0], k, point.num_rescored or -1, point.leaves_to_search or -1
        )
        return {"rows": rows, "scores": scores}

    return raw


def measure_size(built: BuiltIndex, directory: str) -> dict[str, str]:
    """Compares the SavedModel with the bytes of embeddings plus codes."""
    saved = sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())
    variables = built.index.state if isinstance(built.index, ScannIndex) else [built.index.vectors.values]
    least = sum(np.asarray(variable).nbytes for variable in variables if variable.dtype != tf.string)
    return {"SavedModel": f"{saved / 2**20:.0f} MiB", "of embeddings + codes": f"{saved / least:.2f}x"}


def measure_queries(built: BuiltIndex, catalogue: Catalogue, directory: str) -> dict[str, str]:
    """Times the signatures one query at a time and measures recall under filters."""
    before = psutil.Process().memory_info().rss
    call = load(directory)
    k = np.int32(K)
    call("plain", queries=catalogue.queries[:1], k=k)
    memory = psutil.Process().memory_info().rss - before
    calls: dict[str, Call] = {}
    if isinstance(built.index, ScannIndex):
        if len(catalogue.items) <= MOST_ITEMS_FOR_BINDING:
            calls["raw ScaNN, Python binding"] = raw_binding(built, catalogue)
        calls["raw ScaNN, graph operation"] = lambda query: call("raw", queries=query, k=k)
    calls["retrieve"] = lambda query: call("plain", queries=query, k=k)
    exclude = np.array([item_ids(20)], object)
    calls["20 exclusions"] = lambda query: call("exclude", queries=query, k=k, exclude_item_ids=exclude)
    open_filters = {"attribute_min": [np.nan], "allow_item_ids": np.zeros([1, 0], object)}
    for share in (np.nan, *SELECTIVITIES):
        given = {"k": k, "exclude_item_ids": exclude, **open_filters, "attribute_max": [share]}
        name = "open filters" if np.isnan(share) else f"filter of {share:.1%}"
        calls[name] = lambda query, given=given: call("filter", queries=query, **given)
    scan = tf.function(ExactIndex(catalogue.items).search, input_signature=search_signature(built.index))
    calls["exact scan"] = lambda query: scan(query, tf.constant(K))
    seconds = take_turns(calls, [query[np.newaxis] for query in catalogue.queries])
    rows = {"memory of a loaded model": f"{memory / 2**20:.0f} MiB"}
    rows |= {name: f"{1e3 * median:.3f} ms (p99 {1e3 * late:.3f})" for name, (median, late) in seconds.items()}
    for raw in ("raw ScaNN, Python binding", "raw ScaNN, graph operation"):
        if raw in seconds:
            rows[f"retrieve, of {raw}"] = f"{seconds['retrieve'][0] / seconds[raw][0]:.2f}x"
    for share in SELECTIVITIES:
        rows[f"recall@100, filter of {share:.1%}"] = f"{filtered_recall(call, catalogue, share):.4f}"
    rows["peak memory of it all"] = f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"
    return rows


def load(directory: str) -> Call:
    """Loads a SavedModel into a session and returns `call(signature, **inputs)`, by the runtime's own callables."""
    config = config_pb2.ConfigProto()
    config.experimental.executor_type = "SINGLE_THREADED_EXECUTOR"
    session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
    with session.graph.as_default():
        signatures = tf.compat.v1.saved_model.load(session, ["serve"], directory).signature_def
    callables = {}
    for name, signature in signatures.items():
        if name.startswith("__"):
            continue
        options = config_pb2.CallableOptions(
            feed=[signature.inputs[each].name for each in sorted(signature.inputs)],
            fetch=[signature.outputs[each].name for each in sorted(signature.outputs)],
        )
        callables[name] = (session._make_callable_from_options(options), sorted(signature.inputs))

    def call(name: str, **inputs: Any) -> list[Any]:
        function, names = callables[name]
        return function(
            *(
                np.asarray(inputs[each], inputs[each].dtype if hasattr(inputs[each], "dtype") else np.float32)
                for each in names
            )
        )

    return call


def raw_binding(built: BuiltIndex, catalogue: Catalogue) -> Call:
    """Builds the same index with ScaNN's Python binding and returns its single-query search."""
    point, config = built.report.parameters, ScannTreeConfig()
    builder = scann_ops_pybind.builder(catalogue.items, K, "dot_product")
    if point.num_leaves:
        builder = builder.tree(point.num_leaves, point.leaves_to_search, training_sample_size=config.training_items)
    rescoring = ReorderType.INT8 if built.report.precision == "int8" else ReorderType.FLOAT32
    if built.report.kind == "scann_brute_force":
        searcher = builder.score_brute_force(rescoring).build()
    else:
        threshold = config.anisotropic_threshold
        builder = builder.score_ah(config.dims_per_block, anisotropic_quantization_threshold=threshold)
        searcher = builder.reorder(point.num_rescored, rescoring).build()
    return lambda query: searcher.search(query[0], K, point.num_rescored or -1, point.leaves_to_search or -1)


def filtered_recall(call: Call, catalogue: Catalogue, share: float) -> float:
    """Returns recall@100 under a filter, against an exact search among the items that pass."""
    passing = np.flatnonzero(catalogue.attribute <= np.float32(share))
    passing = passing[passing >= 20]
    judged = catalogue.queries[:NUM_JUDGED]
    expected = passing[search_rows(ExactIndex(catalogue.items[passing]), judged, K)]
    given = {"attribute_min": [np.nan], "attribute_max": [share], "allow_item_ids": np.zeros([1, 0], object)}
    ids = [
        call(
            "filter",
            queries=query[np.newaxis],
            k=np.int32(K),
            exclude_item_ids=np.array([item_ids(20)], object),
            **given,
        )[0]
        for query in judged
    ]
    found = np.array([[int(item[5:]) if item else -1 for item in row[0]] for row in ids], np.int32)
    return recall_at_k(found, expected.astype(np.int32))


def take_turns(calls: dict[str, Call], queries: list[Array]) -> dict[str, tuple[float, float]]:
    """Returns each call's median and 99th percentile in seconds, the lowest of the turns."""
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(NUM_TURNS):
        for name, function in calls.items():
            function(queries[0])
            seconds = [_seconds(function, query) for query in queries[: 20 if name == "exact scan" else None]]
            turns[name].append((float(np.median(seconds)), float(np.quantile(seconds, 0.99))))
    return {name: (min(m for m, _ in measured), min(late for _, late in measured)) for name, measured in turns.items()}


def _seconds(function: Call, query: Array) -> float:
    start = time.perf_counter()
    function(query)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
