"""Slices of an evaluation by the values of the schema's features."""

from collections.abc import Mapping, Sequence

import numpy as np

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import ConfigError
from features.schema import Schema
from trainer.data.events import Array, EncodedEvents, Int64
from trainer.data.raw_catalogue import read_raw_candidates
from trainer.metrics.protocol import Bool
from trainer.metrics.slices import Slices, quarters, slices_by_value

_FIELD = "evaluation.slice_by"
Values = Sequence[Sequence[str]]


def feature_slices(
    names: Sequence[str], encoder: SchemaEncoder, dataset: DatasetLayout, events: EncodedEvents, asked_at: Int64
) -> Slices:
    """Slices by the values of the named features.

    Args:
        names: Features that items can be filtered by (numbers are sliced by quarters), or query features with a
            vocabulary.
        encoder: Encoder of the dataset.
        dataset: Dataset whose catalogue is read if `names` holds a candidate feature.
        events: Encoded events of the split that is evaluated.
        asked_at: `[queries] int64`, the event that each query is asked at.

    Raises:
        ConfigError: A name is not such a feature.
    """
    schema = encoder.schema
    of_candidates = {feature.name for feature in schema.candidate}
    raw = read_raw_candidates(schema, dataset) if of_candidates & set(names) else {}
    queries: dict[str, Bool] = {}
    items: dict[str, Bool] = {}
    for name in names:
        if name in of_candidates:
            items |= slices_by_value(name, _candidate_values(schema, name, raw))
        else:
            queries |= slices_by_value(name, _query_values(encoder, name, events, asked_at))
    return Slices(queries=queries, items=items)


def _candidate_values(schema: Schema, name: str, raw: Mapping[str, Array]) -> Values:
    feature = next(feature for feature in schema.candidate if feature.name == name)
    if feature.filter_by is None:
        raise _no_slices(schema, name)
    if feature.filter_by == "range":
        return quarters(raw[name].astype(np.float64))
    values = raw[name] if feature.is_list else [[value] for value in raw[name]]
    return [[value.decode() for value in several if value] for several in values]


def _query_values(encoder: SchemaEncoder, name: str, events: EncodedEvents, asked_at: Int64) -> Values:
    if name not in _sliced_queries(encoder.schema):
        raise _no_slices(encoder.schema, name)
    column = events.context[name][asked_at] if name in events.context else _of_records(events, name, asked_at)
    vocabulary = encoder.lookup(name).vocabulary
    first = vocabulary.first_token_index
    return [[vocabulary.tokens[index - first]] if index >= first else [] for index in column.astype(np.int64)]


def _sliced_queries(schema: Schema) -> list[str]:
    """Query features that queries can be sliced by: encoded, they still tell their values."""
    return [f.name for f in schema.query if f.filter_by == "values" and f.vocabulary is not None]


def _no_slices(schema: Schema, name: str) -> ConfigError:
    usable = [*_sliced_queries(schema), *(f.name for f in schema.candidate if f.filter_by is not None)]
    return ConfigError(
        _FIELD, name, f"one of {', '.join(usable)}" if usable else "nothing: no feature can be sliced by"
    )


def _of_records(events: EncodedEvents, name: str, asked_at: Int64) -> Array:
    return events.user[name][events.record_of_event()[asked_at]]
