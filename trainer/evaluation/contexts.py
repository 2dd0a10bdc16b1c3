"""The query feature that `context_popularity` counts by: its value at each event, as an index."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from features.encoding.schema_encoder import SchemaEncoder
from features.errors import ConfigError
from trainer.data.events import EncodedEvents
from trainer.metrics.protocol import Int

ContextReader: TypeAlias = Callable[[EncodedEvents], Int]
"""Gives `[events] int64` of some events."""


def context_reader(encoder: SchemaEncoder, name: str) -> ContextReader | None:
    """Returns a function from events to indices of the context feature; None if no query feature has such an index.

    Args:
        encoder: Encoder of the dataset.
        name: Feature to read; empty takes the first with an index of its own, else the first part of a time.

    Raises:
        ConfigError: `name` is no such feature.
    """
    usable = context_features(encoder)
    if name and name not in usable:
        expected = f"empty or one of {', '.join(usable)}" if usable else "empty: no query feature has one index a value"
        raise ConfigError("evaluation.baselines.context", name, expected)
    chosen = name or next(iter(usable), "")
    return (lambda events: _values(events, chosen)) if chosen else None


def context_features(encoder: SchemaEncoder) -> list[str]:
    """Names of the query features with one index a value, then of those with several parts; without the user's id."""
    schema = encoder.schema
    features = [
        feature
        for feature in schema.query
        if feature.owner != "history" and feature.is_embedded and feature.name != schema.user_id
    ]
    return [
        feature.name for form in ("single", "parts") for feature in features if encoder.encoded(feature).form == form
    ]


def _values(events: EncodedEvents, name: str) -> Int:
    of_events = name in events.context
    column = events.context[name] if of_events else events.user[name][events.record_of_event()]
    # The parts of a time share a table, so that the first one alone is an index too.
    return (column[:, 0] if column.ndim > 1 else column).astype(np.int64)
