"""The parts of an evaluation that the schema's own features name."""

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
        names: categorical, multi-valued or numeric features of candidates (numbers by quarters), or categorical ones
            of queries.
        encoder: of the dataset.
        dataset: whose catalogue is read where a candidate's feature is named.
        events: of the split that is judged.
        asked_at: `[queries]`: the event each query is asked at.

    Raises:
        ConfigError: a name is not such a feature.
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
        raise ConfigError(_FIELD, name, f"a feature with values or numbers to slice by, not one of kind {feature.kind}")
    if feature.filter_by == "range":
        return quarters(raw[name].astype(np.float64))
    values = raw[name] if feature.is_list else [[value] for value in raw[name]]
    return [[value.decode() for value in several if value] for several in values]


def _query_values(encoder: SchemaEncoder, name: str, events: EncodedEvents, asked_at: Int64) -> Values:
    features = {feature.name: feature for feature in encoder.schema.query}
    feature = features.get(name)
    if feature is None or feature.filter_by != "values" or feature.vocabulary is None:
        known = [feature.name for feature in (*encoder.schema.query, *encoder.schema.candidate)]
        raise ConfigError(_FIELD, name, f"a candidate feature or a query's categorical one, of {', '.join(known)}")
    column = events.context[name][asked_at] if name in events.context else _of_records(events, name, asked_at)
    vocabulary = encoder.lookup(name).vocabulary
    first = vocabulary.first_token_index
    return [[vocabulary.tokens[index - first]] if index >= first else [] for index in column.astype(np.int64)]


def _of_records(events: EncodedEvents, name: str, asked_at: Int64) -> Array:
    return events.user[name][events.record_of_event()[asked_at]]
