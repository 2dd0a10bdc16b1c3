"""Fourth pass: writes one shard per partition and split, for retrieval and for ranking."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pipelines.engine import Engine, run_pass
from beam_pipelines.passes.item_times import ItemTimes
from beam_pipelines.passes.partitions import PartitionJob, load_partition
from beam_pipelines.passes.ranking_examples import Examples, with_negatives
from beam_pipelines.passes.sorted_events import SortedEvents
from beam_pipelines.passes.splits import TRAIN
from beam_pipelines.passes.windows import WindowLimits, Windows, make_windows
from beam_pipelines.sources.tables import EVENT_TYPE as RAW_EVENT_TYPE
from features.disk.files import make_directory
from features.disk.layout import SPLITS, DatasetLayout
from features.disk.shards import shard_name
from features.records.contents import (
    EVENT_TYPE,
    IN_HISTORY,
    ITEM_EVENTS,
    NUM_CONTEXT,
    SAMPLING_PROBABILITY,
    WEIGHT,
    RecordKind,
    event_columns,
    user_columns,
)
from features.records.write import write_shard
from features.schema import Schema

# Events serialised at a time; bounds the memory of the encoder.
_EVENTS_PER_BATCH = 1 << 17
_REPETITIONS = 4


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """Report of one partition."""

    records: Mapping[str, int]
    """Number of records by directory, relative to the dataset."""
    targets: Mapping[str, int]
    """Number of events to predict, by directory."""


@dataclass(frozen=True, kw_only=True)
class ShardJob(PartitionJob):
    """Inputs that all partitions share when they write."""

    dataset: DatasetLayout
    """The unfinished dataset."""
    num_partitions: int
    """Number of shards per split."""
    seed: int
    """Seed of the sampled negatives."""


def write_shards(partitions: Sequence[int], job: ShardJob, engine: Engine) -> list[ShardReport]:
    """Runs the pass over all partitions."""
    for split in SPLITS:
        make_directory(job.dataset.interactions(split))
        make_directory(job.dataset.ranking(split))
    return run_pass("write", partial(write_partition, job=job), partitions, report=ShardReport, engine=engine)


def write_partition(partition: int, *, job: ShardJob) -> ShardReport:
    """Writes the partition's shards of all splits, empty ones too, so that every shard of a set is there."""
    found = load_partition(partition, job)
    events = replace(found.events, table=_with_dictionaries(found.events.table))
    labels, split = found.labels, found.split
    logged = Examples(
        source=np.arange(len(split)),
        items=events.table.column(job.schema.item_id).combine_chunks(),
        labels=labels,
        split=split,
        probability=np.ones(len(split), np.float32),
    )
    item_times = ItemTimes.read(job.workspace) if job.schema.item_events else None
    records, targets = {}, {}
    for place, name in enumerate(SPLITS):
        rng = np.random.default_rng([job.seed, partition, place])
        ranked_examples = with_negatives(logged, events, place, job=job, rng=rng)
        if item_times is not None:
            moments = events.numpy(job.schema.timestamp)[ranked_examples.source]
            counts = item_times.before(ranked_examples.items, moments, place)
            ranked_examples = replace(ranked_examples, item_events=counts)
        positives = logged.labels.positive & (split == place)
        sets: tuple[tuple[RecordKind, Path, Examples, npt.NDArray[np.bool_]], ...] = (
            ("retrieval", job.dataset.interactions(name), logged, positives),
            ("ranking", job.dataset.ranking(name), ranked_examples, ranked_examples.split == place),
        )
        for kind, directory, examples, wanted in sets:
            windows = _windows(examples, events, place, wanted, job)
            batches = _batches(examples, events, windows, job.schema, records=kind)
            path = directory / shard_name(partition, job.num_partitions)
            key = directory.relative_to(job.dataset.root).as_posix()
            records[key] = write_shard(path, batches, job.config.compression_level)
            targets[key] = int(wanted.sum())
    return ShardReport(records=records, targets=targets)


def _with_dictionaries(table: pa.Table) -> pa.Table:
    """Dictionary-encodes frequent texts, so that the encoder encodes each of them once."""
    for place, name in enumerate(table.column_names):
        if pa.types.is_string(table.schema.field(name).type):
            encoded = table.column(name).combine_chunks().dictionary_encode()
            if _REPETITIONS * len(encoded.dictionary) < table.num_rows:
                table = table.set_column(place, name, encoded)
    return table


def _windows(
    examples: Examples, events: SortedEvents, place: int, targets: npt.NDArray[np.bool_], job: ShardJob
) -> Windows:
    num_users = events.users.num_rows
    counts = np.bincount(events.user_index[examples.source], minlength=num_users)
    history = job.schema.history
    return make_windows(
        np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]),
        events.numpy(job.schema.timestamp)[examples.source],
        targets=targets,
        context=examples.labels.positive & (examples.split <= place),
        limits=WindowLimits(
            max_events=job.config.max_events_per_record,
            history_length=history.length if history else 0,
            has_context=place != TRAIN,
        ),
    )


def _batches(
    examples: Examples, events: SortedEvents, windows: Windows, schema: Schema, *, records: RecordKind
) -> Iterator[pa.RecordBatch]:
    """Yields the records, a bounded number of events at a time."""
    num_records = len(windows.users)
    first = 0
    while first < num_records:
        limit = windows.starts[first] + _EVENTS_PER_BATCH
        last = max(first + 1, int(np.searchsorted(windows.starts, limit, side="right")) - 1)
        yield _batch(examples, events, windows, slice(first, last), event_columns(schema, records=records), schema)
        first = last


def _batch(
    examples: Examples, events: SortedEvents, windows: Windows, chosen: slice, names: Mapping[str, str], schema: Schema
) -> pa.RecordBatch:
    starts = windows.starts[chosen.start : chosen.stop + 1]
    rows = windows.rows[starts[0] : starts[-1]]
    own = {
        schema.item_id: lambda: examples.items.take(pa.array(rows)),
        EVENT_TYPE: lambda: events.table.column(RAW_EVENT_TYPE).combine_chunks().take(pa.array(examples.source[rows])),
        ITEM_EVENTS: lambda: pa.array(_item_events(examples)[rows]),
        WEIGHT: lambda: pa.array(examples.labels.weight[rows]),
        IN_HISTORY: lambda: pa.array(examples.labels.positive[rows].astype(np.int64)),
        SAMPLING_PROBABILITY: lambda: pa.array(examples.probability[rows]),
    }
    source = pa.array(examples.source[rows])
    labels = {task.name: place for place, task in enumerate(schema.task)}

    def column(name: str) -> pa.Array:
        if name in labels:
            return pa.array(examples.labels.values[rows, labels[name]])
        return own[name]() if name in own else events.table.column(name).combine_chunks().take(source)

    columns = {name: column(name) for name in names}
    offsets = pa.array((starts - starts[0]).astype(np.int32))
    lists = {name: pa.ListArray.from_arrays(offsets, values) for name, values in columns.items()}
    users = events.users.take(pa.array(windows.users[chosen]))
    scalars = {name: users.column(name).combine_chunks() for name in user_columns(schema)}
    context = {NUM_CONTEXT: pa.array(windows.num_context[chosen], pa.int64())}
    return pa.RecordBatch.from_pydict(scalars | context | lists)


def _item_events(examples: Examples) -> npt.NDArray[np.int64]:
    if examples.item_events is None:
        raise ValueError("the counters of the items have not been looked up")
    return examples.item_events
