"""Events to the labels of the tasks, weights and positive interactions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import LabelConfig
from beam_pipelines.sources.tables import EVENT_TYPE, RATING
from features.spec.tasks import Task


@dataclass(frozen=True)
class Labels:
    """What each event teaches."""

    values: npt.NDArray[np.float32]
    """`[n, tasks]`: what the ranking model is to predict; NaN where the event says nothing of a task."""
    weight: npt.NDArray[np.float32]
    """`[n]`: of the example in the loss."""
    positive: npt.NDArray[np.bool_]
    """`[n]`: whether it is a positive interaction: an example for retrieval and an entry of later histories."""


def label_events(events: pa.Table, tasks: Sequence[Task], config: LabelConfig) -> Labels:
    """Labels the events by type and rating, as the tasks and `LabelConfig` say."""
    weight, ignored = _weights(events, config)
    columns = [_label(events, task, config, ignored) for task in tasks]
    return Labels(np.stack(columns, axis=1).astype(np.float32), weight, positive_events(events, config))


def positive_events(events: pa.Table, config: LabelConfig) -> npt.NDArray[np.bool_]:
    """`[n] bool`: the events that are positive interactions."""
    positive = np.ones(events.num_rows, bool)
    if config.rating_column and config.min_positive_rating is not None:
        positive = _ratings(events) >= config.min_positive_rating
    return positive & ~_weights(events, config)[1]


def sampled_labels(tasks: Sequence[Task], size: int) -> npt.NDArray[np.float32]:
    """`[size, tasks] float32`: labels of items that were sampled as negatives."""
    return np.tile(np.array([task.label_of_a_negative for task in tasks], np.float32), (size, 1))


def _label(
    events: pa.Table, task: Task, config: LabelConfig, ignored: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """The label of each event, `[n] float32`."""
    if task.event_types:
        is_one = pc.is_in(events.column(EVENT_TYPE), value_set=pa.array(task.event_types, pa.string()))
        return np.asarray(is_one.to_numpy(), np.float32)
    if task.type == "regression":
        # What was shown and not taken has no rating.
        return np.where(ignored, np.float32(np.nan), _ratings(events))
    return np.where(ignored, np.float32(0), _binary_label(events, task, config))


def _binary_label(events: pa.Table, task: Task, config: LabelConfig) -> npt.NDArray[np.float32]:
    if not config.rating_column:
        return np.ones(events.num_rows, np.float32)
    rating = _ratings(events)
    if task.threshold is None and config.ranking_label == "rating":
        return rating
    threshold = config.threshold if task.threshold is None else task.threshold
    return (rating >= threshold).astype(np.float32)


def _ratings(events: pa.Table) -> npt.NDArray[np.float32]:
    return np.asarray(events.column(RATING).to_numpy().astype(np.float32))


def _weights(events: pa.Table, config: LabelConfig) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """`[n]` each: the weight of the example, and whether the event's type has weight 0: shown and not taken."""
    if not config.event_type_column:
        return np.ones(events.num_rows, np.float32), np.zeros(events.num_rows, bool)
    encoded = events.column(EVENT_TYPE).combine_chunks().dictionary_encode()
    by_type = np.array([config.event_weights[name] for name in encoded.dictionary.to_pylist()], np.float32)
    weight = by_type[encoded.indices.to_numpy()]
    ignored = weight == 0
    weight[ignored] = 1
    return weight, ignored
