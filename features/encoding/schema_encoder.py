"""The one implementation of every transformation: raw values in, indices and floats out.

The same objects run in the training input and inside the exported SavedModels, so a model sees the same numbers for
the same raw record in both. Everything is a stock TensorFlow op; nothing here needs recstack once it is saved.
"""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.calendar_parts import calendar_parts
from features.encoding.log_buckets import NUM_COUNTS, count_buckets, time_gaps
from features.encoding.statistics import NumericStatistics, Statistics
from features.encoding.vocabulary import Vocabulary
from features.errors import MEND_DATASET, InputError
from features.records.contents import ITEM_EVENTS
from features.schema import Schema
from features.spec.base import Feature
from features.spec.categorical import CategoricalFeature
from features.spec.history import HistoryCompanion, HistoryEventTypesFeature, HistoryFeature, HistoryTimesFeature
from features.spec.ids import IdFeature
from features.spec.multi_valued import MultiValuedFeature
from features.spec.numeric import NumericFeature
from features.spec.text import TextFeature
from features.spec.time import TIME_PART_SIZES, TimestampFeature
from features.spec.vector import VectorFeature

Tensors: TypeAlias = dict[str, tf.Tensor]

# Standardised numbers beyond this many deviations are clipped: one absurd value must not drown the other features.
_MAX_DEVIATIONS = 8.0


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What an encoder returns, for the layers that embed it."""

    form: Literal["single", "bag", "parts", "dense"]
    """`single`: `[batch] int32`. `bag`: `[batch, width] int32`, 0 is padding, to be pooled. `parts`: `[batch, width]
    int32` into one table, to be concatenated. `dense`: `[batch, width] float32`, to be used as it is."""
    width: int
    """Values an example, 1 for `single`."""
    num_indices: int
    """Rows of the embedding table, 0 for `dense`. Row 0 is a missing value."""
    table: str
    """Name of the embedding table: features with the same table share it (the history and the item id do)."""


class LookupEncoder(tf.Module):
    """Strings to indices by a vocabulary: 0 missing, then the out-of-vocabulary buckets, then the tokens."""

    def __init__(self, layout: DatasetLayout, feature_name: str, oov_buckets: int) -> None:
        """Reads the vocabulary; its file becomes an asset of every SavedModel that holds this encoder.

        Raises:
            InputError: the vocabulary is missing or broken.
        """
        super().__init__(name=f"{feature_name}_lookup")
        path = layout.vocabulary(feature_name)
        self.vocabulary = Vocabulary.read(path, oov_buckets)
        self._table = _token_table(str(path), empty=not self.vocabulary.tokens)

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """Indices of `values`, string in and int32 out, of any shape."""
        index = self._table.lookup(values) + self.vocabulary.first_token_index
        buckets = self.vocabulary.oov_buckets
        if buckets > 1:  # the only bucket is where the table's -1 leads
            bucket = 1 + tf.strings.to_hash_bucket_fast(values, buckets)
            index = tf.where(index < self.vocabulary.first_token_index, bucket, index)
        return tf.where(values == "", 0, tf.cast(index, tf.int32))


def _token_table(path: str, *, empty: bool) -> tf.lookup.StaticHashTable:
    if empty:  # TensorFlow refuses a table from an empty file; the empty string is missing anyway.
        initializer = tf.lookup.KeyValueTensorInitializer([""], [-1], tf.string, tf.int64)
    else:
        whole_line, line_number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        initializer = tf.lookup.TextFileInitializer(path, tf.string, whole_line, tf.int64, line_number)
    return tf.lookup.StaticHashTable(initializer, default_value=-1)


def _hash_indices(values: tf.Tensor, num_buckets: int) -> tf.Tensor:
    """1 … num_buckets by hash, 0 for the empty string; any shape, string in and int32 out."""
    index = 1 + tf.strings.to_hash_bucket_fast(values, num_buckets)
    return tf.cast(tf.where(values == "", tf.zeros_like(index), index), tf.int32)


def _first_values(values: tf.Tensor | tf.RaggedTensor, width: int) -> tf.Tensor:
    """`[batch, width] string`: the first non-empty values, then `""`."""
    ragged = _without_missing(values)
    return ragged[:, :width].to_tensor(default_value="", shape=[None, width])


def last_values(values: tf.Tensor | tf.RaggedTensor, width: int) -> tf.Tensor:
    """The last `width` non-empty values in their order, then padding.

    Args:
        values: `[batch, n] string`, dense (padded with `""` anywhere) or ragged.
        width: values to keep.

    Returns:
        `[batch, width] string`, padded with `""` at the end.
    """
    ragged = _without_missing(values)
    return ragged[:, -width:].to_tensor(default_value="", shape=[None, width])


def _last_indices(indices: tf.Tensor, width: int) -> tf.Tensor:
    """As `last_values`, of indices `[batch, n] int32` with 0 for a missing value.

    A dozen operations where ragged tensors take sixty: a server runs them for every call.
    """
    padded = tf.pad(indices, [[0, 0], [width, 0]])
    places = tf.where(padded > 0, tf.range(tf.shape(padded)[1]), 0)
    last = tf.math.top_k(places, width).values
    kept = tf.math.count_nonzero(last, axis=1, dtype=tf.int32)
    return tf.gather(padded, tf.reverse_sequence(last, kept, seq_axis=1), batch_dims=1)


def last_companions(companion: tf.Tensor, history: tf.Tensor, width: int) -> tf.Tensor:
    """What belongs to the entries of a history that `last_values` keeps.

    Args:
        companion: `[batch, m]`; entries that a history has beyond them are missing.
        history: `[batch, n] string`, padded with `""` anywhere.
        width: entries to keep.

    Returns:
        `[batch, width]` of the companion's type, in the places of `last_values(history, width)`.
    """
    ragged = tf.ragged.boolean_mask(aligned_companion(companion, history), history != "")
    return ragged[:, -width:].to_tensor(default_value=_missing_companion(companion), shape=[None, width])


def aligned_companion(companion: tf.Tensor, history: tf.Tensor) -> tf.Tensor:
    """`[batch, m]` as `[batch, n]`, the shape of the history: cut, or padded by missing values."""
    wanted = tf.shape(history)[1]
    beyond = tf.maximum(wanted - tf.shape(companion)[1], 0)
    missing = _missing_companion(companion)
    return tf.pad(companion[:, :wanted], [[0, 0], [0, beyond]], constant_values=missing)


def _missing_companion(companion: tf.Tensor) -> str | int:
    return "" if companion.dtype == tf.string else 0


ITEM_EVENTS_ENCODED = Encoded(form="single", width=1, num_indices=NUM_COUNTS, table=ITEM_EVENTS)
"""The form of the items' counters."""


def _without_missing(values: tf.Tensor | tf.RaggedTensor) -> tf.RaggedTensor:
    ragged = values if isinstance(values, tf.RaggedTensor) else tf.RaggedTensor.from_tensor(values)
    return tf.ragged.boolean_mask(ragged, ragged != "")


def tokenize(text: tf.Tensor) -> tf.RaggedTensor:
    """Words of each text, `[batch] string` to ragged `[batch, words]`: lower case, letters and digits of any script."""
    lower = tf.strings.lower(tf.strings.unicode_transcode(text, "UTF-8", "UTF-8"), encoding="utf-8")
    spaced = tf.strings.regex_replace(lower, r"[^\p{L}\p{N}]+", " ")
    return tf.strings.split(tf.strings.strip(spaced), " ")


def standardise(values: tf.Tensor, statistics: NumericStatistics) -> tf.Tensor:
    """Deviations from the training mean and a flag for missing values.

    Args:
        values: `[batch] float32`, NaN where missing.
        statistics: of the training data.

    Returns:
        `[batch, 2] float32`: the deviation, clipped to ±8 and 0 where missing; 1 where missing, else 0.
    """
    missing = tf.math.is_nan(values)
    # TensorFlow's kernels take subnormal numbers for zero.
    scale = statistics.std if statistics.std >= sys.float_info.min else 1.0
    # In float64, as the statistics are: large float32 values would overflow in the subtraction.
    deviation = (tf.cast(values, tf.float64) - statistics.mean) / scale
    deviation = tf.clip_by_value(deviation, -_MAX_DEVIATIONS, _MAX_DEVIATIONS)
    known = tf.where(missing, tf.zeros_like(deviation), deviation)
    return tf.stack([tf.cast(known, tf.float32), tf.cast(missing, tf.float32)], axis=-1)


def bucketize(values: tf.Tensor, boundaries: tuple[float, ...]) -> tf.Tensor:
    """`[batch] float32` to `[batch] int32`: 0 for NaN, else 1 plus the number of boundaries at or below the value."""
    edges = tf.constant(boundaries, tf.float32)
    bucket = 1 + tf.searchsorted(edges, values, side="right")
    return tf.where(tf.math.is_nan(values), tf.zeros_like(bucket), bucket)


def encode_vectors(values: tf.Tensor | tf.RaggedTensor, feature: VectorFeature) -> tf.Tensor:
    """Vectors and a flag for missing ones. A vector that holds NaN or infinity is missing: half of one says nothing.

    Args:
        values: `[batch, length] float32`, dense, or ragged with empty rows where missing.
        feature: how long they are, and whether their length is to be one.

    Returns:
        `[batch, length + 1] float32`: the vector, zero where missing; then 1 where missing, else 0.
    """
    if isinstance(values, tf.RaggedTensor):
        values = values.to_tensor(default_value=math.nan, shape=[None, feature.length])
    missing = ~tf.reduce_all(tf.math.is_finite(values), axis=1, keepdims=True)
    known = tf.where(missing, tf.zeros_like(values), values)
    if feature.normalise:
        # Divided by the largest component first: squares of large numbers overflow, those of small ones vanish.
        known = tf.math.divide_no_nan(known, tf.reduce_max(tf.abs(known), axis=1, keepdims=True))
        known = tf.math.divide_no_nan(known, tf.norm(known, axis=1, keepdims=True))
    return tf.concat([known, tf.cast(missing, tf.float32)], axis=1)


class SchemaEncoder(tf.Module):
    """Encodes raw query and candidate features with a dataset's vocabularies and statistics.

    encoder = SchemaEncoder(schema, Workdir(root).dataset)
    encoder.encode_query({"user_id": tf.constant(["7"]), "history": tf.constant([["31", ""]])})
    """

    def __init__(self, schema: Schema, layout: DatasetLayout) -> None:
        """Loads what the encoders need.

        Raises:
            InputError: a vocabulary or the statistics are missing or broken.
        """
        super().__init__(name="schema_encoder")
        self.schema = schema
        self.statistics = Statistics.read(layout.statistics)
        self._lookups: dict[str, LookupEncoder] = {}
        for feature in (*schema.query, *schema.candidate):
            if feature.statistics is not None and feature.name not in self.statistics.numeric:
                raise InputError(f"statistics {layout.statistics}: none of {feature.name!r}; {MEND_DATASET}")
            if feature.vocabulary is not None:
                self._lookups[feature.name] = LookupEncoder(layout, feature.name, feature.vocabulary.oov_buckets)

    def lookup(self, feature_name: str) -> LookupEncoder:
        """The vocabulary lookup of a feature."""
        return self._lookups[feature_name]

    def encode_query(self, raw: Mapping[str, tf.Tensor]) -> Tensors:
        """Encodes the query features: `[batch]` each, `[batch, n]` for the history and what belongs to it."""
        return {feature.name: self.encode(feature, self._raw_query(feature, raw)) for feature in self.schema.query}

    def _raw_query(self, feature: Feature, raw: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """A feature's values; of what belongs to the history, those of the entries that are kept."""
        history = self.schema.history
        if history is None or not isinstance(feature, HistoryCompanion):
            return raw[feature.name]
        return last_companions(raw[feature.name], raw[history.name], history.length)

    def encode_candidate(self, raw: Mapping[str, tf.Tensor]) -> Tensors:
        """Encodes the candidate features: `[batch]` each, `[batch, n]` for multi-valued ones and vectors.

        The counter of the items' events is encoded where it is given: only ranking reads it.
        """
        encoded = {feature.name: self.encode(feature, raw[feature.name]) for feature in self.schema.candidate}
        return encoded | ({ITEM_EVENTS: count_buckets(raw[ITEM_EVENTS])} if ITEM_EVENTS in raw else {})

    def encode(self, feature: Feature, values: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        """Encodes one feature; `encoded(feature)` says what comes out."""
        return self._encoders[type(feature)](self, feature, values)

    def encoded(self, feature: Feature) -> Encoded:
        """Form, width and table of what `encode` returns for the feature."""
        name = feature.name
        if isinstance(feature, HistoryFeature):
            item_id = self.schema.item_id
            size = self._lookups[item_id].vocabulary.num_indices
            return Encoded(form="bag", width=feature.length, num_indices=size, table=item_id)
        if isinstance(feature, HistoryCompanion):
            length = self.schema.history.length if self.schema.history is not None else 0
            is_time = isinstance(feature, HistoryTimesFeature)
            size = NUM_COUNTS if is_time else self._lookups[name].vocabulary.num_indices
            return Encoded(form="bag", width=length, num_indices=size, table=name)
        if isinstance(feature, TimestampFeature):
            size = sum(1 + TIME_PART_SIZES[part] for part in feature.parts)
            return Encoded(form="parts", width=len(feature.parts), num_indices=size, table=name)
        if isinstance(feature, NumericFeature):
            if feature.encoding == "standardise":
                return Encoded(form="dense", width=2, num_indices=0, table=name)
            size = 2 + len(self._numeric(feature).quantiles)
            return Encoded(form="single", width=1, num_indices=size, table=name)
        if isinstance(feature, VectorFeature):
            return Encoded(form="dense", width=feature.length + 1, num_indices=0, table=name)
        lookup = self._lookups.get(name)
        size = lookup.vocabulary.num_indices if lookup else 1 + int(getattr(feature, "num_buckets", 0))
        if isinstance(feature, TextFeature):
            return Encoded(form="bag", width=feature.max_tokens, num_indices=size, table=name)
        if isinstance(feature, MultiValuedFeature):
            return Encoded(form="bag", width=feature.max_values, num_indices=size, table=name)
        return Encoded(form="single", width=1, num_indices=size, table=name)

    def query_signature(self) -> dict[str, tf.TensorSpec]:
        """Raw inputs of a query: `[batch]` each, `[batch, length]` for the history."""
        return {feature.name: raw_spec(feature) for feature in self.schema.query}

    def candidate_signature(self) -> dict[str, tf.TensorSpec]:
        """Raw inputs of a candidate: `[batch]` each, `[batch, n]` for multi-valued ones and vectors."""
        signature = {feature.name: raw_spec(feature) for feature in self.schema.candidate}
        return signature | ({ITEM_EVENTS: tf.TensorSpec([None], tf.int64)} if self.schema.item_events else {})

    def _numeric(self, feature: NumericFeature) -> NumericStatistics:
        return self.statistics.numeric[feature.name]

    def _encode_single(self, feature: IdFeature | CategoricalFeature, values: tf.Tensor) -> tf.Tensor:
        lookup = self._lookups.get(feature.name)
        return lookup(values) if lookup else _hash_indices(values, int(getattr(feature, "num_buckets", 0)))

    def _encode_numeric(self, feature: NumericFeature, values: tf.Tensor) -> tf.Tensor:
        statistics = self._numeric(feature)
        return (
            standardise(values, statistics)
            if feature.encoding == "standardise"
            else bucketize(values, statistics.quantiles)
        )

    def _encode_text(self, feature: TextFeature, values: tf.Tensor) -> tf.Tensor:
        return _hash_indices(_first_values(tokenize(values), feature.max_tokens), feature.num_buckets)

    def _encode_multi_valued(self, feature: MultiValuedFeature, values: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        kept = _first_values(values, feature.max_values)
        lookup = self._lookups.get(feature.name)
        return lookup(kept) if lookup else _hash_indices(kept, feature.num_buckets)

    def _encode_vector(self, feature: VectorFeature, values: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        return encode_vectors(values, feature)

    def _encode_history(self, feature: HistoryFeature, values: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        lookup = self._lookups[self.schema.item_id]
        if isinstance(values, tf.RaggedTensor):
            return lookup(last_values(values, feature.length))
        return _last_indices(lookup(values), feature.length)

    def _encode_event_types(self, feature: HistoryEventTypesFeature, values: tf.Tensor) -> tf.Tensor:
        return self._lookups[feature.name](values)

    def _encode_times(self, feature: HistoryTimesFeature, values: tf.Tensor) -> tf.Tensor:
        return time_gaps(values)

    def _encode_timestamp(self, feature: TimestampFeature, values: tf.Tensor) -> tf.Tensor:
        return calendar_parts(values, feature)

    _encoders: Mapping[type, Callable[[Any, Any, tf.Tensor], tf.Tensor]] = {
        IdFeature: _encode_single,
        CategoricalFeature: _encode_single,
        NumericFeature: _encode_numeric,
        TextFeature: _encode_text,
        MultiValuedFeature: _encode_multi_valued,
        HistoryFeature: _encode_history,
        HistoryEventTypesFeature: _encode_event_types,
        HistoryTimesFeature: _encode_times,
        TimestampFeature: _encode_timestamp,
        VectorFeature: _encode_vector,
    }


def raw_spec(feature: Feature) -> tf.TensorSpec:
    """The feature as an input of a signature: `[batch]`, `[batch, n]` for a list, `[batch, length]` for a vector."""
    width = [feature.fixed_length] if feature.is_list else []
    return tf.TensorSpec([None, *width], tf.dtypes.as_dtype(feature.raw_type), name=feature.name)


def raw_missing(feature: Feature) -> tf.Tensor:
    """What stands for "not given" as a signature's input, for a batch of 1; `raw_spec` says the shape."""
    spec = raw_spec(feature)
    return tf.fill([width or 1 for width in spec.shape], tf.constant(feature.missing_value, spec.dtype))
