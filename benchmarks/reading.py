"""How fast training reads a dataset: examples per second of one core.

    python benchmarks/reading.py             # 1 million events with histories of 50

records     the shards of the training split, unpacked and parsed, nothing else
load        the same, encoded and laid into memory: once at the start of a training
sequence    an epoch of batches in which every event of a user's sequence is an example (the default)
event       an epoch of batches in which every example has its own history of 50

Each row is run twice and the second counts. CPU seconds are those of all threads of the process, so examples per CPU
second are what one core gives.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from prepare import make_events, recstack

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.records.parse import interaction_parsing_spec, read_records
from features.schema import Schema
from features.serialization import structure
from trainer.data.batches import BatchPlan, event_examples, sequence_examples
from trainer.data.catalogue import load_catalogue
from trainer.data.events import load_events
from trainer.data.packing import pack, row_width, stretches

_BATCH = 8192
_RECORDS_A_BATCH = 1024


def _read(layout: DatasetLayout, schema: Schema) -> int:
    spec = interaction_parsing_spec(schema, records="retrieval")
    records = read_records(layout.interactions("train"), spec, _RECORDS_A_BATCH)
    return sum(int(raw[schema.item_id].flat_values.shape[0]) for raw in records)


def _drain(examples: BatchPlan) -> None:
    for _ in examples.epoch(0, 0, tf.distribute.InputContext()):
        pass


def _row(name: str, work: Callable[[], object], num_examples: int) -> None:
    work()
    wall, cpu = time.monotonic(), time.process_time()
    work()
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    print(
        f"{name:<10}{num_examples:>12,}{wall:>9.2f}{cpu:>8.2f}{num_examples / wall:>14,.0f}{num_examples / cpu:>18,.0f}"
    )


def main() -> None:
    """Prepares a dataset, reads it, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    num_events = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        make_events(Path(folder) / "events.parquet", num_events)
        recstack(Path(folder) / "events.parquet", Path(folder))
        layout = DatasetLayout(Path(folder) / "dataset")
        schema = structure(json.loads(layout.schema.read_text()), Schema)
        encoder = SchemaEncoder(schema, layout)
        rows = load_catalogue(layout, encoder).rows()
        directory = layout.interactions("train")
        events = load_events(directory, encoder, rows, records="retrieval")
        targets = events.targets()
        assert schema.history is not None
        starts, sizes = stretches(events, schema.history.length)
        width = row_width(sizes)
        in_sequence = BatchPlan(
            arrange=lambda generator: pack(starts, sizes, width, generator),
            num_examples=len(pack(starts, sizes, width, np.random.default_rng(0))),
            gather=sequence_examples(events, schema),
            batch_size=_BATCH // width,
            seed=0,
        )
        one_by_one = BatchPlan(
            arrange=lambda generator: generator.permutation(targets),
            num_examples=len(targets),
            gather=event_examples(events, schema),
            batch_size=_BATCH,
            seed=0,
        )
        print(f"{'':<10}{'examples':>12}{'seconds':>9}{'CPU s':>8}{'examples/s':>14}{'examples/CPU s':>18}")
        _row("records", lambda: _read(layout, schema), len(events))
        _row("load", lambda: load_events(directory, encoder, rows, records="retrieval"), len(events))
        _row("sequence", lambda: _drain(in_sequence), len(targets))
        _row("event", lambda: _drain(one_by_one), len(targets))


if __name__ == "__main__":
    main()
