"""Facts of a partition for the data report: times, missing values, lengths of histories.

They cover all splits. Nothing that a model sees is made from them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.passes.ingest import bucket_of
from beam_pipelines.passes.moments import Moments
from beam_pipelines.passes.partitions import Partition
from beam_pipelines.passes.time_histogram import TimeHistogram
from beam_pipelines.passes.user_history_features import derived_features
from features.disk.layout import SPLITS
from features.schema import Schema
from features.spec.base import Feature, RawColumn

_MAX_INTERVALS = 1 << 9
_WORD_BINS = 64

Counts = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Presence:
    """Number of rows with and without a value in a column."""

    rows: int
    """Events or users."""
    missing: int
    """Events or users without a value."""


@dataclass(frozen=True, kw_only=True)
class PartitionFacts:
    """Facts of one partition."""

    times: Mapping[str, TimeHistogram]
    """Histogram of the events of each split, in at most 512 intervals."""
    spans: Mapping[str, tuple[int, int]]
    """First and last second of each split with events, since 1970-01-01 UTC."""
    histories: Mapping[str, Counts]
    """Targets of each split by the bucket of their history's length, see `length_bucket`."""
    users: Counts
    """Users by the bucket of their number of positive interactions."""
    presence: Mapping[str, Presence]
    """Missing values of each query feature."""
    numbers: Mapping[str, Moments]
    """Of the numeric query features and the labels of the tasks, over the events or users of all splits."""
    words: Mapping[str, Counts]
    """Values or words of the query features without a vocabulary, by hash, see `word_bins`."""


def facts_of(found: Partition, schema: Schema) -> PartitionFacts:
    """Collects the facts of a partition."""
    events, split = found.events, found.split
    times, positive = events.numpy(schema.timestamp), found.labels.positive
    before = derived_features(events.starts, times, positive, wanted={"before": "user_events"}, session_gap_seconds=1)[
        "before"
    ].astype(np.int64)
    columns = _columns(found, schema)
    numeric = {feature.name for feature in schema.query if feature.statistics is not None}
    numbers = {name: values.to_numpy() for name, values in columns.items() if name in numeric}
    numbers |= {task.name: found.labels.values[:, place] for place, task in enumerate(schema.task)}
    return PartitionFacts(
        times={
            name: TimeHistogram.of(times[split == place]).coarsened(_MAX_INTERVALS) for place, name in enumerate(SPLITS)
        },
        spans={
            name: (int(times[split == place].min()), int(times[split == place].max()))
            for place, name in enumerate(SPLITS)
            if (split == place).any()
        },
        histories={name: _by_bucket(before[positive & (split == place)]) for place, name in enumerate(SPLITS)},
        users=_by_bucket(np.bincount(events.user_index[positive], minlength=events.users.num_rows)),
        presence={name: Presence(rows=len(values), missing=_missing(values)) for name, values in columns.items()},
        words={f.name: word_bins(columns[f.name], f) for f in schema.query if f.name in columns and is_hashed(f)},
        numbers={name: Moments.of(values) for name, values in numbers.items()},
    )


def _columns(found: Partition, schema: Schema) -> dict[str, pa.ChunkedArray]:
    """The columns of the query features."""
    tables = (found.events.users, found.events.table)
    names = [feature.name for feature in schema.query]
    return {name: table.column(name) for table in tables for name in table.column_names if name in names}


def _missing(values: pa.ChunkedArray) -> int:
    return int(pc.sum(is_missing(values)).as_py() or 0)


def is_missing(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Mask of the rows of a validated column without a value: "", NaN or an empty list."""
    if pa.types.is_floating(values.type):
        return pc.is_nan(values)
    if pa.types.is_list(values.type):
        return pc.equal(pc.list_value_length(values), 0)
    if pa.types.is_string(values.type):
        return pc.equal(values, "")
    return pc.is_null(values)


def is_hashed(feature: Feature) -> bool:
    """Whether a feature of strings has no vocabulary that counts its values."""
    return feature.raw_type == "string" and feature.vocabulary is None


def word_bins(values: pa.ChunkedArray, feature: Feature) -> Counts:
    """Histogram of the hashes of values, or of the words of a text, in 64 bins; empty if there are none.

    That is too coarse to identify words, but fine enough to notice that other words have become frequent.
    """
    if feature.column == RawColumn(kind="text"):
        values = pc.split_pattern_regex(pc.utf8_lower(values), r"[^\p{L}\p{N}]+")
    words = pc.list_flatten(values) if pa.types.is_list(values.type) else values
    present = words.filter(pc.not_equal(words, "")).combine_chunks()
    if not len(present):
        return ()
    return tuple(int(count) for count in np.bincount(bucket_of(present) % _WORD_BINS, minlength=_WORD_BINS))


def length_bucket(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Bucket of each length: 0, 1, 2, 3-4, 5-8, and so on by powers of two."""
    return np.where(lengths > 0, np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64) + 1, 0)


def bucket_name(bucket: int) -> str:
    """Range of lengths in a bucket, such as `5-8`."""
    if bucket < 3:
        return str(bucket)
    return f"{2 ** (bucket - 2) + 1:,}-{2 ** (bucket - 1):,}"


def _by_bucket(lengths: npt.NDArray[np.int64]) -> Counts:
    return tuple(int(count) for count in np.bincount(length_bucket(lengths)))


def sum_counts(several: Iterable[Counts]) -> Counts:
    """Sums counts of different lengths element by element."""
    arrays = [np.array(counts, np.int64) for counts in several]
    total = np.zeros(max((len(array) for array in arrays), default=0), np.int64)
    for array in arrays:
        total[: len(array)] += array
    return tuple(int(count) for count in total)
