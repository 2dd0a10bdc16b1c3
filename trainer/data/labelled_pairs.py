"""Pairs of a query and an item with their labels: what a ranking model learns from and is judged by.

The query is an event's: its user, its context and what the user did strictly before it. The item is any row of the
catalogue. A logged event is the pair of its query and its own item; a candidate that a retrieval model found for the
same query is another pair of the same event.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from features.encoding.log_buckets import count_buckets
from features.errors import InputError
from features.records.contents import ITEM_EVENTS
from features.schema import Schema
from trainer.data.batches import Batch, Gather, gather_query
from trainer.data.events import EncodedEvents, Float32, Int32, Int64


@dataclass(frozen=True, kw_only=True)
class LabelMoments:
    """Mean and standard deviation of a task's labels."""

    mean: float = 0.5
    deviation: float = 0.5


@dataclass(frozen=True, kw_only=True)
class LabelledPairs:
    """`n` pairs, one array a column."""

    event: Int64
    """`[n]`: the event whose user, context and moment the query has."""
    candidate_row: Int32
    """`[n]`: row of the item in the catalogue."""
    labels: Float32
    """`[n, tasks]`: in the order of the schema's tasks; NaN where nothing is known."""
    weight: Float32
    """`[n]`: of the pair in the loss."""
    item_events: Int64 | None = None
    """`[n]`: positive interactions of all users with the item strictly before the event; needed where the schema has
    `item_events`."""
    extra: Mapping[str, Float32] = field(default_factory=dict)
    """Further numbers of each pair by name, `[n]` each, such as the score of the retrieval that found the item."""

    def __len__(self) -> int:
        return len(self.event)

    def label_moments(self) -> tuple[LabelMoments, ...]:
        """Moments of each task's known labels, by weight; one half each for a task without any."""
        return label_moments([self])


def logged_pairs(events: EncodedEvents) -> LabelledPairs:
    """The targets of a split, each event with its own item."""
    targets = events.targets()
    return LabelledPairs(
        event=targets,
        candidate_row=events.candidate_row[targets],
        labels=events.labels[targets],
        weight=events.weight[targets],
        item_events=events.item_events[targets],
    )


def pair_examples(events: EncodedEvents, pairs: LabelledPairs, schema: Schema) -> Gather:
    """One example a pair, by its number.

    Args:
        events: the split that the pairs' events belong to.
        pairs: Pairs of these events.
        schema: Schema of the dataset.

    Returns:
        A function of `[batch] int64` to `query`: encoded query features; `candidate_row [batch] int32`; `pair`: encoded
        features of the pair by name, which stand in for the candidate's of the same name; `labels [batch, tasks]`
        and `weight [batch] float32`.

    Raises:
        InputError: the schema has `item_events`, and the pairs do not say how many there were.
    """
    query = gather_query(events, schema)
    event, rows = tf.constant(pairs.event), tf.constant(pairs.candidate_row)
    labels, weights = tf.constant(pairs.labels), tf.constant(pairs.weight)
    pair = {name: tf.constant(values)[:, None] for name, values in pairs.extra.items()}
    if schema.item_events:
        if pairs.item_events is None:
            raise InputError("pairs without `item_events`, which the schema asks for: count them as of each event")
        pair[ITEM_EVENTS] = count_buckets(tf.constant(pairs.item_events))

    def gather(indices: tf.Tensor) -> Batch:
        return {
            "query": query(tf.gather(event, indices)),
            "candidate_row": tf.gather(rows, indices),
            "pair": {name: tf.gather(values, indices) for name, values in pair.items()},
            "labels": tf.gather(labels, indices),
            "weight": tf.gather(weights, indices),
        }

    return gather


def label_moments(parts: Iterable[LabelledPairs]) -> tuple[LabelMoments, ...]:
    """Moments of each task's known labels, by weight, over all parts; one half each for a task without any."""
    sums: dict[int, tuple[float, float, float]] = {}
    for part in parts:
        for place in range(part.labels.shape[1]):
            found = _weighted(part.labels[:, place], part.weight)
            sums[place] = _merged(sums[place], found) if place in sums else found
    return tuple(
        LabelMoments(mean=mean, deviation=float(np.sqrt(squares / weight))) if weight > 0 else LabelMoments()
        for weight, mean, squares in sums.values()
    )


def _weighted(labels: Float32, weight: Float32) -> tuple[float, float, float]:
    """Sum of the weights of the known labels, their mean, and the weighted sum of squared distances from it."""
    known = ~np.isnan(labels)
    values, weights = labels[known].astype(np.float64), weight[known].astype(np.float64)
    if not (total := float(weights.sum())) > 0:
        return 0.0, 0.0, 0.0
    mean = float(weights @ values / total)
    return total, mean, float(weights @ np.square(values - mean))


def _merged(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float, float]:
    """The same of both together (Chan et al. 1979, Updating formulae, Eq. 1.5)."""
    total = one[0] + other[0]
    if total == 0:
        return one
    between = other[1] - one[1]
    return (
        total,
        one[1] + between * other[0] / total,
        one[2] + other[2] + between * between * one[0] * other[0] / total,
    )
