"""Fourth pass: each partition writes its shard of every split, for retrieval and for ranking."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import PipelineConfig
from beam_pipelines.events import Events, load_events, ranked
from beam_pipelines.labels import Labels, label_events
from beam_pipelines.negatives import ItemDistribution, sample_negatives
from beam_pipelines.splits import TRAIN, TimeCuts, assign_splits
from beam_pipelines.windows import WindowLimits, Windows, make_windows
from beam_pipelines.workspace import Workspace, read_arrow
from features.examples import write_shard
from features.layout import SPLITS, DatasetLayout, shard_name
from features.records import (
    IN_HISTORY,
    LABEL,
    NUM_CONTEXT,
    SAMPLING_PROBABILITY,
    WEIGHT,
    event_columns,
    user_columns,
)
from features.schema import Schema

# Events serialised at a time: bounds the memory of the encoder.
_EVENTS_PER_BATCH = 1 << 17


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What a partition wrote."""

    records: Mapping[str, int]
    """Records by directory, relative to the dataset."""
    targets: Mapping[str, int]
    """Events to be predicted, by directory."""


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """What all partitions have in common."""

    schema: Schema
    """Names and features."""
    config: PipelineConfig
    """Labels, split, negatives, sizes."""
    cuts: TimeCuts
    """Of a global time split."""
    dataset: DatasetLayout
    """Where the shards go; the directories exist."""
    workspace: Workspace
    """Where the events lie."""
    num_partitions: int
    """Shards of each split."""
    seed: int
    """Of the sampled negatives."""


@dataclass(frozen=True, kw_only=True)
class _Examples:
    """Events as records hold them, logged and sampled; `[n]` each, by user, time and item id."""

    source: npt.NDArray[np.int64]
    """Row of the logged event that gives time and context."""
    items: pa.DictionaryArray
    labels: Labels
    split: npt.NDArray[np.int8]
    probability: npt.NDArray[np.float32]


def write_partition(partition: int, *, job: ShardJob) -> ShardReport:
    """Writes the partition's shards of all splits, empty ones too, so that every shard of a set is there."""
    events = load_events(job.workspace, partition)
    labels = label_events(events, job.config.label)
    times = events.numpy(job.schema.timestamp)
    split = assign_splits(events, labels.positive, times, config=job.config.split, cuts=job.cuts)
    logged = _Examples(
        source=np.arange(len(times)),
        items=events.table.column(job.schema.item_id).combine_chunks(),
        labels=labels,
        split=split,
        probability=np.ones(len(times), np.float32),
    )
    records, targets = {}, {}
    for place, name in enumerate(SPLITS):
        ranked_examples = _with_negatives(
            logged, events, place, job, np.random.default_rng([job.seed, partition, place])
        )
        for directory, examples, wanted in (
            (job.dataset.interactions(name), logged, logged.labels.positive & (split == place)),
            (job.dataset.ranking(name), ranked_examples, ranked_examples.split == place),
        ):
            windows = _windows(examples, events, place, wanted, job)
            ranking = examples is ranked_examples
            batches = _batches(examples, events, windows, job.schema, ranking=ranking)
            path = directory / shard_name(partition, job.num_partitions)
            key = directory.relative_to(job.dataset.root).as_posix()
            records[key] = write_shard(path, batches, job.config.compression_level)
            targets[key] = int(wanted.sum())
    return ShardReport(records=records, targets=targets)


def known_interactions(examples: _Examples, place: int) -> npt.NDArray[np.int64]:
    """Events whose items are no negatives of their user: a later split must not be seen, not even by what is left out.

    Args:
        examples: logged events.
        place: position of the split in `features.layout.SPLITS`.
    """
    return np.flatnonzero(examples.labels.positive & (examples.split <= place))


def _with_negatives(
    logged: _Examples, events: Events, place: int, job: ShardJob, rng: np.random.Generator
) -> _Examples:
    """The logged examples and the sampled negatives of one split's positive events, in order."""
    if job.config.negatives_kind == "none":
        return logged
    train_items = read_arrow(job.workspace.train_items)
    known_items = train_items.column("value").combine_chunks()
    known = known_interactions(logged, place)
    place_of_item = pc.index_in(logged.items.dictionary, known_items).fill_null(-1).to_numpy()
    positives = np.flatnonzero(logged.labels.positive & (logged.split == place))
    user = events.user_index
    sampled = sample_negatives(
        user[positives],
        (user[known], place_of_item[logged.items.indices.to_numpy()[known]].astype(np.int64)),
        ItemDistribution.of(train_items.column("events").to_numpy(), job.config.negatives),
        per_positive=job.config.negatives.per_positive,
        rng=rng,
    )
    source = positives[sampled.positive]
    zeros = np.zeros(len(source), np.float32)
    names = pa.concat_arrays([logged.items.cast(pa.string()), known_items.take(pa.array(sampled.item))])
    ranks, distinct = ranked(pa.chunked_array([names]))
    all_sources = np.concatenate([logged.source, source])
    order = np.lexsort([ranks, events.numpy(job.schema.timestamp)[all_sources], user[all_sources]])
    labels = Labels(
        np.concatenate([logged.labels.label, zeros])[order],
        np.concatenate([logged.labels.weight, zeros + 1])[order],
        np.concatenate([logged.labels.positive, zeros > 0])[order],
    )
    return _Examples(
        source=all_sources[order],
        items=pa.DictionaryArray.from_arrays(pa.array(ranks[order].astype(np.int32)), distinct),
        labels=labels,
        split=logged.split[all_sources[order]],
        probability=np.concatenate([logged.probability, sampled.probability])[order],
    )


def _windows(examples: _Examples, events: Events, place: int, targets: npt.NDArray[np.bool_], job: ShardJob) -> Windows:
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
    examples: _Examples, events: Events, windows: Windows, schema: Schema, *, ranking: bool
) -> Iterator[pa.RecordBatch]:
    """The records, a bounded number of events at a time."""
    num_records = len(windows.users)
    first = 0
    while first < num_records:
        limit = windows.starts[first] + _EVENTS_PER_BATCH
        last = max(first + 1, int(np.searchsorted(windows.starts, limit, side="right")) - 1)
        yield _batch(examples, events, windows, slice(first, last), event_columns(schema, ranking=ranking), schema)
        first = last


def _batch(
    examples: _Examples, events: Events, windows: Windows, chosen: slice, names: Mapping[str, str], schema: Schema
) -> pa.RecordBatch:
    starts = windows.starts[chosen.start : chosen.stop + 1]
    rows = windows.rows[starts[0] : starts[-1]]
    own = {
        schema.item_id: lambda: examples.items.take(pa.array(rows)).cast(pa.string()),
        LABEL: lambda: pa.array(examples.labels.label[rows]),
        WEIGHT: lambda: pa.array(examples.labels.weight[rows]),
        IN_HISTORY: lambda: pa.array(examples.labels.positive[rows].astype(np.int64)),
        SAMPLING_PROBABILITY: lambda: pa.array(examples.probability[rows]),
    }
    source = pa.array(examples.source[rows])
    columns = {
        name: own[name]() if name in own else events.table.column(name).combine_chunks().take(source) for name in names
    }
    offsets = pa.array((starts - starts[0]).astype(np.int32))
    lists = {name: pa.ListArray.from_arrays(offsets, values) for name, values in columns.items()}
    users = events.users.take(pa.array(windows.users[chosen]))
    scalars = {name: users.column(name).combine_chunks() for name in user_columns(schema)}
    context = {NUM_CONTEXT: pa.array(windows.num_context[chosen], pa.int64())}
    return pa.RecordBatch.from_pydict(scalars | context | lists)
