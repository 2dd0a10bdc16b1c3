"""Batches of training examples, by index: what step s sees depends on the seed and s alone.

A global batch is a fixed slice of the epoch's permutation whatever the number of replicas; each replica takes its
equal part of it. So a training goes on exactly where it stopped, and any strategy trains on the same batches.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
import tensorflow as tf

from features.encoding.encoder import Tensors
from features.encoding.log_buckets import age_buckets, gap_buckets, time_gaps
from features.errors import InputError
from features.schema import Schema
from trainer.data.events import HISTORY_AGES, HISTORY_ROWS, EncodedEvents, Int32, Int64

Batch: TypeAlias = Mapping[str, Any]
Gather: TypeAlias = Callable[[tf.Tensor], Batch]

Section: TypeAlias = Callable[[tf.distribute.InputContext], tf.data.Dataset]
"""Consecutive steps of an epoch: the batches of one input pipeline, each as one element a replica."""

# Fewer steps than this learn little in an epoch, whatever the batch.
_MIN_STEPS_AN_EPOCH = 8


class EpochPlan(Protocol):
    """What is trained on: examples in another order each epoch, held in memory or read as they are needed."""

    @property
    def num_examples(self) -> int:
        """Examples of all workers."""

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches; the rest of an order is left out, another one each epoch."""

    def sections(self, epoch: int, first_step: int) -> Iterator[Section]:
        """The sections of one epoch from `first_step` on, in order; all workers have as many, of as many steps."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The examples that some events make, and how some of them become a batch."""

    indices: Int64
    """`[examples] int64`: what `gather` is given; in the order of the records."""
    records: Int32 | Int64
    """`[examples]`: the record that each belongs to, ascending."""
    gather: Callable[[], Gather]
    """Makes the function from some of the indices to a batch, which holds the events' columns as tensors."""


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """Examples in memory: indices in an order for each epoch, and how a slice of them becomes a batch."""

    arrange: Callable[[np.random.Generator], Int64]
    """A new order: `[examples, ...] int64`, events, records or packed rows; always as many."""
    num_examples: int
    """How many `arrange` returns."""
    gather: Gather
    """`[batch, ...] int64` indices to a batch; runs inside tf.data."""
    batch_size: int
    """Examples a step, over all replicas."""
    seed: int
    """Seed of the orders."""

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches; the rest of an order is left out, another one each epoch."""
        return self.num_examples // self.batch_size

    def sections(self, epoch: int, first_step: int) -> Iterator[Section]:
        """The epoch from `first_step` on as one section."""
        yield partial(self.epoch, epoch, first_step)

    def epoch(self, epoch: int, first_step: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """The batches of one epoch from `first_step` on, each as one element a replica of this input pipeline."""
        order = self.arrange(np.random.default_rng((self.seed, epoch)))[: self.steps_per_epoch * self.batch_size]
        per_replica = self.batch_size // context.num_replicas_in_sync
        parts = order.reshape(self.steps_per_epoch, context.num_input_pipelines, -1, per_replica, *order.shape[1:])
        return gathered(parts[first_step:, context.input_pipeline_id], per_replica, self.gather)


def gathered(indices: Int64, batch_size: int, gather: Gather) -> tf.data.Dataset:
    """Batches of the examples with these indices, `[steps, replicas, batch_size, ...] int64`, in order."""
    dataset = tf.data.Dataset.from_tensor_slices(indices.reshape(-1, batch_size, *indices.shape[3:]))
    gather = tf.autograph.experimental.do_not_convert(gather)
    return dataset.map(gather, num_parallel_calls=2, deterministic=True).prefetch(2)


def batch_size_for(wanted: int, available: int, replicas: int) -> int:
    """Examples a step: `wanted`, but an epoch of at least eight steps, in equal parts for the replicas."""
    return max(1, min(wanted, available // _MIN_STEPS_AN_EPOCH) // replicas) * replicas


def plan_batches(indices: Int64, gather: Gather, *, batch_size: int, replicas: int, seed: int) -> BatchPlan:
    """Batches of some events or records, each epoch in another order.

    Args:
        indices: `[examples]`, what `gather` is given.
        gather: Turns some of the indices into a batch.
        batch_size: Examples a step, over all replicas, at most; an epoch has at least eight steps.
        replicas: Number of equal parts of a batch.
        seed: Seed of the orders.

    Raises:
        InputError: there are no examples.
    """
    if len(indices) == 0:
        raise no_examples()
    return BatchPlan(
        arrange=lambda generator: generator.permutation(indices),
        num_examples=len(indices),
        gather=gather,
        batch_size=batch_size_for(batch_size, len(indices), replicas),
        seed=seed,
    )


def no_examples() -> InputError:
    """The error of a training split from which no example can be made."""
    return InputError(
        "the training split holds no event with an item of the catalogue (and, for sequences, none with another "
        "before it); check `pipeline.split` and the filters"
    )


def gather_query(
    events: EncodedEvents, schema: Schema, *, with_entries: bool = False
) -> Callable[[tf.Tensor], Tensors]:
    """A function from events, `[n] int64`, to their encoded query features, with what happened strictly before.

    `with_entries` adds `HISTORY_ROWS` and, where the schema has times, `HISTORY_AGES`.
    """
    user = {name: tf.constant(values) for name, values in events.user.items()}
    context = {name: tf.constant(values) for name, values in events.context.items()}
    record_of_event = tf.constant(events.record_of_event())
    history = schema.history
    starts, ends = tf.constant(events.history_start), tf.constant(events.history_end)
    # One zero at the end: what lies beyond a history's end reads it.
    items = tf.concat([tf.constant(events.history_items), [0]], axis=0)
    beside = {
        name: tf.concat([tf.constant(values[events.history_events]), [0]], axis=0)
        for name, values in events.companions.items()
    }
    entry_rows = events.candidate_row[events.history_events] if with_entries else np.empty(0, np.int32)
    rows = tf.concat([tf.constant(entry_rows), [-1]], axis=0)

    def gather(indices: tf.Tensor) -> Tensors:
        records = tf.gather(record_of_event, indices)
        query = {name: tf.gather(values, records) for name, values in user.items()}
        query |= {name: tf.gather(values, indices) for name, values in context.items()}
        if history is not None:
            end = tf.gather(ends, indices)[:, None]
            start = tf.maximum(tf.gather(starts, indices)[:, None], end - history.length)
            positions = start + tf.range(history.length, dtype=tf.int64)
            beyond = tf.size(items, tf.int64) - 1
            places = tf.where(positions < end, positions, beyond)
            query[history.name] = tf.gather(items, places)
            if with_entries:
                query[HISTORY_ROWS] = tf.gather(rows, places)
            for name, values in beside.items():
                companion = tf.gather(values, places)
                are_times = _are_times(schema, name)
                query[name] = time_gaps(companion) if are_times else companion
                if with_entries and are_times:
                    query[HISTORY_AGES] = age_buckets(companion)
        return query

    return gather


def _are_times(schema: Schema, companion: str) -> bool:
    """Whether a companion holds times, which become gaps within a history; kinds of events are indices already."""
    return schema.history_times is not None and schema.history_times.name == companion


def sequence_examples(events: EncodedEvents, schema: Schema) -> Gather:
    """Packed rows of events: every event is a positive for what its user had done strictly before it.

    Args:
        events: Encoded events of the training split.
        schema: Schema of the dataset; it has a history.

    Returns:
        A function of `[R, W, 2] int64`: events and their positions in their stretches, -1 for padding.
    """
    user = {name: tf.constant(values) for name, values in events.user.items()}
    context = {name: tf.constant(values) for name, values in events.context.items()}
    record_of_event = tf.constant(events.record_of_event())
    item_index, rows = tf.constant(events.item_index), tf.constant(events.candidate_row)
    weights, places_back = tf.constant(events.weight), tf.constant(events.places_back())
    companions = {name: tf.constant(values) for name, values in events.companions.items()}

    def gather(packed: tf.Tensor) -> Batch:
        event, positions = packed[..., 0], packed[..., 1]
        width = tf.shape(event, tf.int64)[1]
        slots = tf.reshape(tf.range(tf.size(event, tf.int64)), tf.shape(event))
        back = tf.gather(places_back, event)
        is_target = (back <= positions) & (tf.gather(rows, event) >= 0)
        target = tf.boolean_mask(event, is_target)
        # Events of one moment share the state before them; each such state is one query.
        states, query_of_target = tf.unique(tf.boolean_mask(slots - back, is_target))
        first = tf.math.unsorted_segment_min(target, query_of_target, tf.size(states))
        first_record = tf.gather(record_of_event, first)
        query = {name: tf.gather(values, first_record) for name, values in user.items()}
        query |= {name: tf.gather(values, first) for name, values in context.items()}
        return {
            "query": query,
            "items": tf.where(positions >= 0, tf.gather(item_index, event), 0),
            "positions": tf.cast(positions, tf.int32),
            "beside": {
                name: _packed_gaps(values, event, positions)
                if _are_times(schema, name)
                else tf.where(positions >= 0, tf.gather(values, event), 0)
                for name, values in companions.items()
            },
            "state": tf.stack([states // width, states % width], axis=1),
            "positive_query": query_of_target,
            "positive_row": tf.gather(rows, target),
            "weight": tf.gather(weights, target),
        }

    return gather


def _packed_gaps(times: tf.Tensor, event: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Buckets of the time before each event of packed rows, `[R, W] int32`; 0 for padding and first events."""
    before = tf.gather(times, tf.maximum(event - 1, 0))
    return tf.where(positions > 0, gap_buckets(tf.gather(times, event), before), 0)


def event_examples(events: EncodedEvents, schema: Schema, *, with_entries: bool = False) -> Gather:
    """One example an event: its query, with the history before it, and its item as the one positive."""
    query = gather_query(events, schema, with_entries=with_entries)
    rows, weights = tf.constant(events.candidate_row), tf.constant(events.weight)

    def gather(indices: tf.Tensor) -> Batch:
        return {
            "query": query(indices),
            "positive_query": tf.range(tf.size(indices)),
            "positive_row": tf.gather(rows, indices),
            "weight": tf.gather(weights, indices),
        }

    return gather


@dataclass(frozen=True)
class Baskets:
    """The targets of a split, those of one user and moment together."""

    targets: Int64
    """`[targets]`: events, ascending."""
    splits: Int64
    """`[baskets + 1]`: the targets of basket b are `targets[splits[b] : splits[b + 1]]`."""

    def __len__(self) -> int:
        return len(self.splits) - 1


def baskets_of(events: EncodedEvents) -> Baskets:
    """Where one basket's targets end and the next one's begin."""
    targets = events.targets()
    records, times = events.record_of_event()[targets], events.timestamp[targets]
    is_first = np.ones(len(targets), bool)
    is_first[1:] = (records[1:] != records[:-1]) | (times[1:] != times[:-1])
    return Baskets(targets, np.append(np.flatnonzero(is_first), len(targets)).astype(np.int64))


def basket_examples(events: EncodedEvents, schema: Schema, baskets: Baskets, *, with_entries: bool = False) -> Gather:
    """One example a basket: the query before it, and all its items as positives, a basket of n weighing n^1/2.

    What `event_examples` gives, with each history looked up and compared with the negatives once a basket, not once
    an event; no item of the basket is among its negatives.
    """
    query = gather_query(events, schema, with_entries=with_entries)
    targets, splits = tf.constant(baskets.targets), tf.constant(baskets.splits)
    rows, weights = tf.constant(events.candidate_row), tf.constant(events.weight)

    def gather(indices: tf.Tensor) -> Batch:
        starts = tf.gather(splits, indices)
        members = tf.ragged.range(starts, tf.gather(splits, indices + 1))
        event = tf.gather(targets, members.flat_values)
        basket = members.value_rowids()
        sizes = tf.cast(tf.gather(members.row_lengths(), basket), tf.float32)
        return {
            "query": query(tf.gather(targets, starts)),
            "positive_query": tf.cast(basket, tf.int32),
            "positive_row": tf.gather(rows, event),
            "weight": tf.gather(weights, event) / tf.sqrt(sizes),
        }

    return gather


def set_examples(events: EncodedEvents, schema: Schema) -> Gather:
    """One example a record: its last items are history and positives alike."""
    history = schema.history
    length = history.length if history is not None else 1
    last_event = tf.constant(np.maximum(events.record_splits[1:] - 1, 0))
    splits = tf.constant(events.record_splits)
    user = {name: tf.constant(values) for name, values in events.user.items()}
    context = {name: tf.constant(values) for name, values in events.context.items()}
    item_index, rows = tf.constant(events.item_index), tf.constant(events.candidate_row)
    weights = tf.constant(events.weight)
    companions = {name: tf.constant(values) for name, values in events.companions.items()}

    def gather(records: tf.Tensor) -> Batch:
        ends = tf.gather(splits, records + 1)
        starts = tf.maximum(tf.gather(splits, records), ends - length)
        members = tf.ragged.range(starts, ends)
        query = {name: tf.gather(values, records) for name, values in user.items()}
        query |= {name: tf.gather(values, tf.gather(last_event, records)) for name, values in context.items()}
        if history is not None:
            query[history.name] = members.with_flat_values(tf.gather(item_index, members.flat_values))
            for name, values in companions.items():
                entries = (
                    _gaps_of_sets(values, members)
                    if _are_times(schema, name)
                    else tf.gather(values, members.flat_values)
                )
                query[name] = members.with_flat_values(entries)
        row = tf.gather(rows, members.flat_values)
        known = tf.cast(row >= 0, tf.float32)
        return {
            "query": query,
            "positive_query": tf.cast(members.value_rowids(), tf.int32),
            "positive_row": tf.maximum(row, 0),
            "weight": known * tf.gather(weights, members.flat_values),
        }

    return gather


def _gaps_of_sets(times: tf.Tensor, members: tf.RaggedTensor) -> tf.Tensor:
    """Buckets of the time before each event of ragged sets, `[members] int32`; 0 for a set's first event."""
    event = members.flat_values
    is_first = tf.gather(members.row_starts(), members.value_rowids()) == tf.range(tf.size(event, tf.int64))
    before = tf.gather(times, tf.maximum(event - 1, 0))
    return tf.where(is_first, 0, gap_buckets(tf.gather(times, event), before))
