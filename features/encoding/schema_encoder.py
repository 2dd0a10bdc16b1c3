"""Encodes all features of a schema, one encoder each.

Training and the exported SavedModels hold the same object, so a model sees the same numbers for the same raw record in
both. Everything is a stock TensorFlow operation; nothing here needs recstack once it is saved.
"""

from collections.abc import Mapping

import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.encoder import Encoded, FeatureEncoder, Learnt, Tensors
from features.encoding.history import last_companions
from features.encoding.log_buckets import NUM_COUNTS, count_buckets
from features.encoding.lookup import VocabularyLookup
from features.encoding.signature import raw_spec
from features.encoding.statistics import Statistics
from features.errors import MEND_DATASET, InputError
from features.records.contents import ITEM_EVENTS
from features.schema import Schema
from features.spec.base import Feature
from features.spec.kinds import FEATURE_KINDS

ITEM_EVENTS_ENCODED = Encoded(form="single", width=1, num_indices=NUM_COUNTS, table=ITEM_EVENTS)
"""The form of the items' counters."""


class SchemaEncoder(tf.Module):
    """Encodes raw query and candidate features with a dataset's vocabularies and statistics.

    >>> from pathlib import Path
    >>> from features.encoding.vocabulary import Vocabulary
    >>> from features.spec import HistoryFeature, IdFeature
    >>> dataset = DatasetLayout(Path("dataset"))
    >>> dataset.vocabulary("item_id").parent.mkdir(parents=True)
    >>> Vocabulary(("alien", "brazil")).write(dataset.vocabulary("item_id"))
    >>> Statistics(num_users=1, num_items=2, num_interactions=2).write(dataset.statistics)
    >>> schema = Schema(query=(HistoryFeature(length=3),), candidate=(IdFeature(name="item_id"),))
    >>> encoder = SchemaEncoder(schema, dataset)
    >>> encoder.encode_query({"history": tf.constant([["brazil", "", "unknown"]])})["history"].numpy().tolist()
    [[3, 1, 0]]
    """

    def __init__(self, schema: Schema, layout: DatasetLayout) -> None:
        """Loads what the encoders need.

        Args:
            schema: The features.
            layout: The dataset that holds the vocabularies and statistics.

        Raises:
            InputError: A vocabulary or the statistics are missing or broken.
        """
        super().__init__(name="schema_encoder")
        self.schema = schema
        self.statistics = _statistics(schema, layout)
        self._lookups = {
            name: VocabularyLookup(layout, name, options.oov_buckets) for name, options in schema.vocabularies.items()
        }
        learnt = Learnt(schema=schema, lookups=self._lookups, statistics=self.statistics)
        self._encoders: dict[str, FeatureEncoder[Feature]] = {
            feature.name: FEATURE_KINDS.implementation(feature)(feature, learnt)
            for feature in (*schema.query, *schema.candidate)
        }

    def lookup(self, feature_name: str) -> VocabularyLookup:
        """The vocabulary lookup of a feature."""
        return self._lookups[feature_name]

    def encode_query(self, raw: Mapping[str, tf.Tensor]) -> Tensors:
        """Encodes the query features: `[batch]` each, `[batch, n]` for the history and its companions."""
        return {feature.name: self.encode(feature, self._raw_query(feature, raw)) for feature in self.schema.query}

    def _raw_query(self, feature: Feature, raw: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """A feature's values; of a companion of the history, those of the entries that are kept."""
        history = self.schema.history
        if history is None or feature not in self.schema.history_companions:
            return raw[feature.name]
        return last_companions(raw[feature.name], raw[history.name], history.length)

    def encode_candidate(self, raw: Mapping[str, tf.Tensor]) -> Tensors:
        """Encodes the candidate features: `[batch]` each, `[batch, n]` for multi-valued ones and vectors.

        The counter of the items' events is encoded where it is given: only ranking reads it.
        """
        encoded = {feature.name: self.encode(feature, raw[feature.name]) for feature in self.schema.candidate}
        return encoded | ({ITEM_EVENTS: count_buckets(raw[ITEM_EVENTS])} if ITEM_EVENTS in raw else {})

    def encode(self, feature: Feature, values: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        """Encodes one feature of the schema; `encoded(feature)` says what comes out."""
        return self._encoders[feature.name](values)

    def encoded(self, feature: Feature) -> Encoded:
        """Form, width and table of what `encode` returns for a feature of the schema."""
        return self._encoders[feature.name].encoded

    def query_signature(self) -> dict[str, tf.TensorSpec]:
        """Raw inputs of a query: `[batch]` each, `[batch, length]` for the history."""
        return {feature.name: raw_spec(feature) for feature in self.schema.query}

    def candidate_signature(self) -> dict[str, tf.TensorSpec]:
        """Raw inputs of a candidate: `[batch]` each, `[batch, n]` for multi-valued ones and vectors."""
        signature = {feature.name: raw_spec(feature) for feature in self.schema.candidate}
        return signature | ({ITEM_EVENTS: tf.TensorSpec([None], tf.int64)} if self.schema.item_events else {})


def _statistics(schema: Schema, layout: DatasetLayout) -> Statistics:
    statistics = Statistics.read(layout.statistics)
    for feature in (*schema.query, *schema.candidate):
        if feature.statistics is not None and feature.name not in statistics.numeric:
            raise InputError(f"statistics {layout.statistics}: none of {feature.name!r}; {MEND_DATASET}")
    return statistics
