"""Events per second and peak memory of `recstack prepare` beside two other ways to the same records.

    python benchmarks/prepare.py                                 # 1 million events, all three ways
    python benchmarks/prepare.py --events 1_000_000 10_000_000   # growth; needs some gigabytes

row-wise    a straightforward Beam pipeline: dictionaries, GroupByKey, tf.train.Example, WriteToTFRecord
columnar    pyarrow and `features.records.write` in one process, the table in memory: no Beam, no checks
recstack    the whole job: validation, rejects, duplicates, vocabularies, statistics, candidates, retrieval and ranking

All read the same Parquet file and split each user's events by time. Row-wise writes what a tutorial leads to, one
Example an event with its history in it; the others write recstack's records, one a user and split with what came
before as context, once for retrieval and once for ranking. Each way runs in a process of its own, imports included; CPU
seconds and peak memory are that process's. The last columns are the events per second relative to the other ways'. The
row-wise way holds all rows in memory, two gigabytes a million, so it runs at the first size only, and larger sizes are
compared with its events per second there.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_SHARDS = 8
_HISTORY = 50
_HEADINGS = f"{'x row-wise':>12}{'x columnar':>12}"
_SHARES = (0.7, 0.8)  # up to which share of a user's events train and validation go


def make_events(path: Path, num_events: int) -> None:
    """Zipf-distributed users and items over a year, six columns, in order of time."""
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, _make_batch(rng, 1, 1, 0).schema) as writer:
        for start in range(0, num_events, 1_000_000):
            size = min(1_000_000, num_events - start)
            writer.write_batch(_make_batch(rng, size, num_events, start))


def _make_batch(rng: np.random.Generator, size: int, total: int, start: int) -> pa.RecordBatch:
    num_users, num_items = max(total // 30, 1), max(total // 100, 1)
    # Squaring a uniform number twice makes few users and items frequent, none dominant.
    users = (num_users * rng.random(size) ** 2).astype(np.int64)
    items = (num_items * rng.random(size) ** 4).astype(np.int64)
    times = 1_735_689_600 + ((start + np.arange(size)) * (31_536_000 / total)).astype(np.int64)
    return pa.RecordBatch.from_pydict(
        {
            "user_id": pa.array(users),
            "item_id": pc.binary_join_element_wise("item-", pa.array(items).cast(pa.string()), ""),
            "timestamp": pa.array(times),
            "price": pa.array(rng.random(size) * 100),
            "device": pa.array(np.array(["phone", "desktop", "tablet"])[rng.integers(0, 3, size)]),
            "rating": pa.array(rng.integers(1, 6, size).astype(np.float32)),
        }
    )


def row_wise(source: Path, out: Path) -> None:
    """What a Beam tutorial leads to."""
    import apache_beam as beam
    from apache_beam.io.tfrecordio import WriteToTFRecord

    with beam.Pipeline() as pipeline:
        events = (
            pipeline
            | beam.io.ReadFromParquet(str(source))
            | beam.Map(lambda row: (row["user_id"], row))
            | beam.GroupByKey()
            | beam.FlatMap(_with_histories)
        )
        for split in range(3):
            (
                events
                | f"filter {split}" >> beam.Filter(lambda event, split=split: event["split"] == split)
                | f"example {split}" >> beam.Map(_example)
                | f"write {split}" >> WriteToTFRecord(str(out / f"{split}"), file_name_suffix=".gz", num_shards=_SHARDS)
            )


def _with_histories(pair: tuple[int, Any]) -> Iterator[dict[str, Any]]:
    rows = sorted(pair[1], key=lambda row: (row["timestamp"], row["item_id"]))
    for place, row in enumerate(rows):
        split = sum(place >= int(len(rows) * share) for share in _SHARES)
        before = [earlier["item_id"] for earlier in rows[max(0, place - _HISTORY) : place]]
        yield {**row, "split": split, "history": before}


def _example(event: dict[str, Any]) -> bytes:
    import tensorflow as tf

    def strings(values: list[str]) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))

    def number(value: float) -> tf.train.Feature:
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))

    feature = {
        "user_id": strings([str(event["user_id"])]),
        "item_id": strings([event["item_id"]]),
        "history": strings(event["history"]),
        "timestamp": tf.train.Feature(int64_list=tf.train.Int64List(value=[event["timestamp"]])),
        "price": number(event["price"]),
        "device": strings([event["device"]]),
        "label": number(float(event["rating"] >= 4)),
    }
    return bytes(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def columnar(source: Path, out: Path) -> None:
    """The least that can be done with the same encoder."""
    from features.records.write import write_shard

    table = pq.read_table(source)
    users = table.column("user_id").to_numpy()
    items = table.column("item_id").combine_chunks().dictionary_encode()
    rank = np.empty(len(items.dictionary), np.int64)
    rank[pc.sort_indices(items.dictionary).to_numpy()] = np.arange(len(rank))
    order = np.lexsort([rank[items.indices.to_numpy()], table.column("timestamp").to_numpy(), users])
    table = table.take(pa.array(order)).combine_chunks()
    ordered = users[order]
    begins = np.flatnonzero(np.concatenate([[True], np.diff(ordered) > 0, [True]]))
    sizes = np.diff(begins)
    cuts = [begins[:-1], *(begins[:-1] + (sizes * share).astype(np.int64) for share in _SHARES), begins[1:]]
    for split in range(3):
        chosen = np.flatnonzero(cuts[split + 1] > cuts[split])
        for shard, part in enumerate(np.array_split(chosen, _SHARDS)):
            for ranking in (False, True):
                batches = _columnar_batches(
                    table, ordered, (begins, cuts[split], cuts[split + 1]), part, ranking=ranking
                )
                write_shard(out / f"split-{split}-ranking-{ranking}-{shard}.tfrecord.gz", batches, 1)


def _columnar_batches(
    table: pa.Table, users: np.ndarray, cuts: tuple[np.ndarray, ...], part: np.ndarray, *, ranking: bool
) -> Iterator[pa.RecordBatch]:
    begins, firsts, ends = cuts
    for few in np.array_split(part, max(1, len(part) // 5000)):
        sizes = ends[few] - begins[few]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        rows = pa.array(np.repeat(begins[few] - offsets[:-1], sizes) + np.arange(offsets[-1]))
        events = table.take(rows).combine_chunks()
        columns = {name: events.column(name).combine_chunks() for name in ("item_id", "timestamp", "device")}
        columns["price"] = events.column("price").combine_chunks().cast(pa.float32())
        columns["label"] = pc.greater_equal(events.column("rating"), 4).combine_chunks().cast(pa.float32())
        columns["weight"] = pa.array(np.ones(offsets[-1], np.float32))
        columns["in_history"] = pa.array(np.ones(offsets[-1], np.int64))
        if ranking:
            columns["sampling_probability"] = columns["weight"]
        lists = {n: pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), v) for n, v in columns.items()}
        scalars = {
            "user_id": pa.array(users[begins[few]]).cast(pa.string()),
            "num_context": pa.array(firsts[few] - begins[few]),
        }
        yield pa.RecordBatch.from_pydict(scalars | lists)


def recstack(source: Path, out: Path) -> None:
    """The real thing."""
    from beam_pipelines.config import LabelConfig, PipelineConfig, SplitConfig, TableSource
    from beam_pipelines.prepare import prepare_dataset
    from features.disk.layout import DatasetLayout
    from features.schema import Schema
    from features.spec.categorical import CategoricalFeature
    from features.spec.history import HistoryFeature
    from features.spec.ids import IdFeature
    from features.spec.numeric import NumericFeature

    schema = Schema(
        query=(
            IdFeature(name="user_id"),
            HistoryFeature(),
            CategoricalFeature(name="device"),
            NumericFeature(name="price"),
        ),
        candidate=(IdFeature(name="item_id"),),
    )
    config = PipelineConfig(
        interactions=TableSource(path=str(source)),
        label=LabelConfig(rating_column="rating"),
        split=SplitConfig(kind="per_user_fraction", validation=_SHARES[1] - _SHARES[0], test=1 - _SHARES[1]),
    )
    began = time.monotonic()
    prepare_dataset(
        schema,
        config,
        DatasetLayout(out / "dataset"),
        seed=1,
        progress=lambda text: print(f"  {time.monotonic() - began:6.1f} s  {text}", file=sys.stderr),
    )


def _imbalance(dataset: Path) -> float:
    """By how much the largest shard of a set exceeds the average one, at worst."""
    folders = {path.parent for path in dataset.rglob("part-*")} - {dataset / "candidates"}
    sizes = [[path.stat().st_size for path in folder.iterdir()] for folder in folders]
    return max((max(found) / (sum(found) / len(found)) - 1 for found in sizes), default=0.0)


_WAYS = {"row-wise": row_wise, "columnar": columnar, "recstack": recstack}


def run_one(way: str, source: Path) -> dict[str, float]:
    """Runs one way in a process of its own."""
    command = [sys.executable, __file__, "--one", way, str(source)]
    with tempfile.TemporaryDirectory(dir=source.parent) as out:
        done = subprocess.run([*command, out], check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Makes the events, runs the ways, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--ways", nargs="+", choices=_WAYS, default=list(_WAYS))
    parser.add_argument("--repeats", type=int, default=1, help="the ways in turn; the fastest run of each counts")
    parser.add_argument("--one", nargs=3, metavar=("WAY", "SOURCE", "OUT"), help="used by the benchmark itself")
    arguments = parser.parse_args()
    if arguments.one:
        way, source, out = arguments.one
        began = time.monotonic()
        _WAYS[way](Path(source), Path(out))
        seconds = time.monotonic() - began
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu = used.ru_utime + used.ru_stime
        found = {"seconds": seconds, "cpu": cpu, "mib": used.ru_maxrss / 1024}
        print(json.dumps(found | {"imbalance": _imbalance(Path(out) / "dataset")}))
        return
    print(f"{'events':>12}  {'way':<10}{'seconds':>9}{'CPU s':>8}{'events/s':>12}{'peak MiB':>10}{_HEADINGS}")
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for num_events in arguments.events:
            source = Path(folder) / f"{num_events}.parquet"
            make_events(source, num_events)
            ways = [way for way in arguments.ways if way != "row-wise" or not rates]
            runs = [{way: run_one(way, source) for way in ways} for _ in range(arguments.repeats)]
            for way in ways:
                found = min((run[way] for run in runs), key=itemgetter("seconds"))
                rates[way] = num_events / found["seconds"]
                cells = f"{found['seconds']:>9.1f}{found['cpu']:>8.1f}{rates[way]:>12,.0f}{found['mib']:>10,.0f}"
                print(f"{num_events:>12,}  {way:<10}{cells}{_ratios(way, rates)}", flush=True)
                if way == "recstack":
                    print(f"{'':>14}its largest shard has {found['imbalance']:.1%} more bytes than the average one")


def _ratios(way: str, rates: dict[str, float]) -> str:
    others = [rates.get(other) for other in ("row-wise", "columnar")]
    return "".join(f"{rates[way] / other:>12.2f}" if other else f"{'':>12}" for other in others)


if __name__ == "__main__":
    main()
