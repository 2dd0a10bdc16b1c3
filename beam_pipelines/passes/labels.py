"""Events to labels, weights and positive interactions."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pipelines.config import LabelConfig
from beam_pipelines.sources.tables import EVENT_TYPE, RATING


@dataclass(frozen=True)
class Labels:
    """What an event teaches; `[n]` each."""

    label: npt.NDArray[np.float32]
    """What the ranking model is to predict."""
    weight: npt.NDArray[np.float32]
    """Of the example in the loss."""
    positive: npt.NDArray[np.bool_]
    """Whether it is a positive interaction: an example for retrieval and an entry of later histories."""


def label_events(events: pa.Table, config: LabelConfig) -> Labels:
    """Labels the events by type and rating, as `LabelConfig` says."""
    size = events.num_rows
    label = np.ones(size, np.float32)
    weight = np.ones(size, np.float32)
    positive = np.ones(size, bool)
    if config.rating_column:
        rating = events.column(RATING).to_numpy().astype(np.float32)
        label = rating if config.ranking_label == "rating" else (rating >= config.threshold).astype(np.float32)
        if config.min_positive_rating is not None:
            positive = rating >= config.min_positive_rating
    if config.event_type_column:
        weight = _weights(events, config)
        ignored = weight == 0
        positive &= ~ignored
        label = np.where(ignored, 0, label).astype(np.float32)
        weight[ignored] = 1
    return Labels(label, weight, positive)


def _weights(events: pa.Table, config: LabelConfig) -> npt.NDArray[np.float32]:
    encoded = events.column(EVENT_TYPE).combine_chunks().dictionary_encode()
    by_type = np.array([config.event_weights[name] for name in encoded.dictionary.to_pylist()], np.float32)
    return np.asarray(by_type[encoded.indices.to_numpy()])
