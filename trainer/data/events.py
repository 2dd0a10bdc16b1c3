"""The interactions of a split in memory: encoded once, one array a column, histories as ranges of one array."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding.schema_encoder import SchemaEncoder
from features.records.contents import (
    EVENT_TYPE,
    IN_HISTORY,
    ITEM_EVENTS,
    NUM_CONTEXT,
    SAMPLING_PROBABILITY,
    WEIGHT,
    RecordKind,
)
from features.records.parse import interaction_parsing_spec, parse_shards, reading, shard_files
from features.schema import Schema

Array: TypeAlias = npt.NDArray[np.generic]
Int32: TypeAlias = npt.NDArray[np.int32]
Int64: TypeAlias = npt.NDArray[np.int64]
Float64: TypeAlias = npt.NDArray[np.float64]
Float32: TypeAlias = npt.NDArray[np.float32]

HISTORY_ROWS, HISTORY_AGES = "history/rows", "history/ages"
"""The catalogue rows of a history's items and, where the schema has the times of their events, the `age_buckets` of
these, beside the encoded features of a query; no feature can have these names."""

Columns: TypeAlias = Mapping[str, Array]
"""Encoded events by column, as `encoded_batches` yields them and `assemble_events` takes them."""

LENGTH: Final = "length"
"""Column with the number of events of each record."""
# Key of the labels of all tasks among the columns; no column has this name.
_LABELS = "labels of the tasks"
_USER = "user/"

# Parsed at once; a record holds all events of a user, so this bounds memory where users are long.
_RECORDS_A_BATCH = 2048


@dataclass(frozen=True, kw_only=True)
class EncodedEvents:
    """Every event of a split, record after record, in the order of `features.records.contents`."""

    record_splits: Int64
    """`[records + 1]`: the events of record r are `record_splits[r]` up to `record_splits[r + 1]`."""
    num_context: Int64
    """`[records]`: the first events of each record, which are context only."""
    user: Mapping[str, Array]
    """Encoded features of the user by name, `[records, ...]`."""
    context: Mapping[str, Array]
    """Encoded features of the event by name, `[events, ...]`."""
    item_index: Int32
    """`[events]`: row of the item's embedding."""
    candidate_row: Int32
    """`[events]`: row of the item in the catalogue, -1 if it is not there."""
    timestamp: Int64
    """`[events]`: seconds since 1970-01-01 UTC."""
    labels: Float32
    """`[events, tasks]`: what a ranking model predicts, in the order of the schema's tasks; NaN where unknown."""
    weight: Float32
    """`[events]`: of the example in the loss, sampled negatives scaled up to what they stand for."""
    companions: Mapping[str, Array]
    """What is known of the events in histories beside their items, by name, `[events]`: kinds as indices (int32), times
    as seconds (int64)."""
    item_events: Int64
    """`[events]`: positive interactions with the item strictly before, where the schema asks for them; else 0."""
    history_items: Int32
    """`[in history]`: `item_index` of the events that enter histories."""
    history_events: Int64
    """`[in history]`: the events that enter histories."""
    history_start: Int64
    """`[events]`: where the history of the event's record starts in `history_items`."""
    history_end: Int64
    """`[events]`: where the event's own history, all that is strictly before it, ends in `history_items`."""

    def __len__(self) -> int:
        return len(self.item_index)

    @property
    def num_records(self) -> int:
        """Users, or windows of users with very many events."""
        return len(self.num_context)

    def record_of_event(self) -> Int32:
        """`[events]`: the record each event belongs to."""
        return np.repeat(np.arange(self.num_records, dtype=np.int32), np.diff(self.record_splits))

    def targets(self) -> Int64:
        """The events that are not context only and whose item is in the catalogue, ascending."""
        first_target = self.record_splits[:-1] + self.num_context
        is_target = np.arange(len(self)) >= first_target[self.record_of_event()]
        return np.flatnonzero(is_target & (self.candidate_row >= 0))

    def weighted_by_age(self, half_life: float, span: tuple[int, int] | None = None) -> "EncodedEvents":
        """The events with weights that halve with each half-life before the last one.

        Args:
            half_life: share of the time that the events span.
            span: times of the first and the last event of the split, if these are only some of its events.
        """
        oldest, newest = span or (self.timestamp.min(initial=np.iinfo(np.int64).max), self.timestamp.max(initial=0))
        ages = (newest - self.timestamp).astype(np.float64)
        halvings = ages / max(half_life * float(newest - oldest), 1.0)
        return replace(self, weight=(self.weight * np.exp2(-halvings)).astype(np.float32))

    def ends_of_moments(self, first: Int64) -> Int64:
        """`[records]`: one past the last event that has the time of the given event of each record, `[records]`."""
        time = self.timestamp[np.minimum(first, max(len(self) - 1, 0))]
        records = self.record_of_event()
        is_same = (self.timestamp == time[records]) & (np.arange(len(self)) >= first[records])
        ends: Int64 = first + np.bincount(records[is_same], minlength=self.num_records)
        return ends

    def places_back(self) -> Int64:
        """`[events]`: how many events before each the last one strictly before it in time lies, in the same record.

        Beyond the record's first event where there is none.
        """
        first_of_record = np.repeat(self.record_splits[:-1], np.diff(self.record_splits))
        last_before = first_of_record + (self.history_end - self.history_start) - 1
        back: Int64 = np.arange(len(self), dtype=np.int64) - last_before
        return back


def load_events(
    directory: Path, encoder: SchemaEncoder, item_row: tf.lookup.StaticHashTable, *, records: RecordKind
) -> EncodedEvents:
    """Reads and encodes a split; each event is parsed and looked up once.

    Args:
        directory: the split's shards.
        encoder: Encoder of the dataset.
        item_row: item id to row of the catalogue, -1 for ids that are not there.
        records: what the shards hold: positive interactions for `retrieval`, labelled events for `ranking`.

    Raises:
        InputError: the directory does not hold all of its shards, or one is damaged.
    """
    batches = encoded_batches(directory, shard_files(directory), encoder, item_row, records=records)
    parts: dict[str, list[Array]] = {}
    for batch in batches:
        for name, values in batch.items():
            parts.setdefault(name, []).append(values)
    # Each column's parts go as soon as it is whole.
    return assemble_events({name: np.concatenate(parts.pop(name)) for name in list(parts)}, encoder.schema)


def event_blocks(
    directory: Path, encoder: SchemaEncoder, item_row: tf.lookup.StaticHashTable, *, records: RecordKind
) -> Iterator[EncodedEvents]:
    """The events of a split in order, a few thousand records at a time; arguments and errors as for `load_events`."""
    for batch in encoded_batches(directory, shard_files(directory), encoder, item_row, records=records):
        yield assemble_events(batch, encoder.schema)


def encoded_batches(
    directory: Path,
    files: Sequence[Path],
    encoder: SchemaEncoder,
    item_row: tf.lookup.StaticHashTable,
    *,
    records: RecordKind,
) -> Iterator[Columns]:
    """The records of some shards of a split, encoded, a few thousand users at a time; at least one batch.

    Raises:
        InputError: A shard is damaged.
    """
    parsed = parse_shards(files, interaction_parsing_spec(encoder.schema, records=records), _RECORDS_A_BATCH)
    encode = tf.autograph.experimental.do_not_convert(lambda raw: _encode(raw, encoder, item_row))
    encoded = parsed.map(encode, num_parallel_calls=tf.data.AUTOTUNE)
    batch: Columns | None = None
    with reading(directory):
        for batch in encoded.prefetch(1).as_numpy_iterator():
            yield batch
    if batch is None:
        yield _no_records(encoded)


def is_of_records(column: str) -> bool:
    """Whether a column has one value a record, and not one an event."""
    return column in (LENGTH, NUM_CONTEXT) or column.startswith(_USER)


def _no_records(encoded: tf.data.Dataset) -> dict[str, Array]:
    """An empty batch: a split may have nothing, such as a validation of positive interactions in a log of few."""
    return {
        name: np.zeros([0, *(size or 0 for size in spec.shape[1:])], spec.dtype.as_numpy_dtype)
        for name, spec in encoded.element_spec.items()
    }


def _encode(
    raw: Mapping[str, tf.Tensor], encoder: SchemaEncoder, item_row: tf.lookup.StaticHashTable
) -> dict[str, tf.Tensor]:
    schema = encoder.schema
    items = raw[schema.item_id]
    columns = {
        LENGTH: items.row_lengths(),
        NUM_CONTEXT: raw[NUM_CONTEXT],
        "item_index": encoder.encode(schema.item_id_feature, items.flat_values),
        "candidate_row": tf.cast(item_row.lookup(items.flat_values), tf.int32),
        schema.timestamp: raw[schema.timestamp].flat_values,
    }
    columns |= {WEIGHT: raw[WEIGHT].flat_values, IN_HISTORY: tf.cast(raw[IN_HISTORY].flat_values, tf.bool)}
    columns[_LABELS] = tf.stack([raw[task.name].flat_values for task in schema.task], axis=1)
    if SAMPLING_PROBABILITY in raw:
        columns[WEIGHT] = columns[WEIGHT] / raw[SAMPLING_PROBABILITY].flat_values
    if ITEM_EVENTS in raw:
        columns[ITEM_EVENTS] = raw[ITEM_EVENTS].flat_values
    if (types := schema.history_event_types) is not None:
        columns[f"companion/{types.name}"] = encoder.encode(types, raw[EVENT_TYPE].flat_values)
    if (times := schema.history_times) is not None:
        # Encoded with each history: the time since the entry before depends on the entries of that history.
        columns[f"companion/{times.name}"] = raw[schema.timestamp].flat_values
    for feature in schema.user_features:
        columns[f"{_USER}{feature.name}"] = encoder.encode(feature, raw[feature.name])
    for feature in schema.context_features:
        columns[f"context/{feature.name}"] = encoder.encode(feature, raw[feature.name].flat_values)
    return columns


def assemble_events(columns: Columns, schema: Schema) -> EncodedEvents:
    """The events of whole records, from their columns."""
    record_splits = np.concatenate([[0], np.cumsum(columns[LENGTH])]).astype(np.int64, copy=False)
    timestamp = columns[schema.timestamp].astype(np.int64, copy=False)
    in_history = columns[IN_HISTORY].astype(bool, copy=False)
    history_start, history_end = history_ranges(record_splits, timestamp, in_history)
    return EncodedEvents(
        record_splits=record_splits,
        num_context=columns[NUM_CONTEXT].astype(np.int64, copy=False),
        user={feature.name: columns[f"{_USER}{feature.name}"] for feature in schema.user_features},
        context={feature.name: columns[f"context/{feature.name}"] for feature in schema.context_features},
        item_index=columns["item_index"].astype(np.int32, copy=False),
        candidate_row=columns["candidate_row"].astype(np.int32, copy=False),
        timestamp=timestamp,
        labels=columns[_LABELS].astype(np.float32, copy=False),
        weight=columns[WEIGHT].astype(np.float32, copy=False),
        companions={feature.name: columns[f"companion/{feature.name}"] for feature in schema.history_companions},
        item_events=columns.get(ITEM_EVENTS, np.zeros(len(timestamp))).astype(np.int64, copy=False),
        history_items=columns["item_index"][in_history].astype(np.int32, copy=False),
        history_events=np.flatnonzero(in_history),
        history_start=history_start,
        history_end=history_end,
    )


def history_ranges(record_splits: Int64, timestamp: Int64, in_history: npt.NDArray[np.bool_]) -> tuple[Int64, Int64]:
    """First and one past the last position, among the events in history, of what came before; `[events]` each."""
    before = np.concatenate([[0], np.cumsum(in_history)])
    lengths = np.diff(record_splits)
    start = np.repeat(before[record_splits[:-1]], lengths)
    # Events of one moment share the position of the first of them: they never see each other.
    new_moment = np.ones(len(timestamp), bool)
    new_moment[1:] = timestamp[1:] != timestamp[:-1]
    new_moment[record_splits[:-1][lengths > 0]] = True
    first_of_moment = np.maximum.accumulate(np.where(new_moment, np.arange(len(timestamp)), 0))
    return start.astype(np.int64, copy=False), before[first_of_moment].astype(np.int64, copy=False)
