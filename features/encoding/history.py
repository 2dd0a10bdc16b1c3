"""Histories and their companions as indices, oldest event first."""

import tensorflow as tf

from features.encoding.encoder import Encoded, FeatureEncoder, Learnt
from features.encoding.log_buckets import NUM_COUNTS, time_gaps
from features.encoding.string_lists import last_values
from features.spec.history import HistoryEventTypesFeature, HistoryFeature, HistoryTimesFeature


class HistoryItemsEncoder(FeatureEncoder[HistoryFeature]):
    """The last item ids of a history to rows of the item ids' own embedding table."""

    def __init__(self, feature: HistoryFeature, learnt: Learnt) -> None:
        """Takes the vocabulary of the item ids."""
        super().__init__(feature, learnt)
        self._item_id = learnt.schema.item_id
        self._lookup = learnt.lookups[self._item_id]

    @property
    def encoded(self) -> Encoded:
        """A bag of items, which shares its table with the item id."""
        size = self._lookup.num_indices
        return Encoded(form="bag", width=self.feature.length, num_indices=size, table=self._item_id)

    def __call__(self, values: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        """`[batch, n] string`, oldest first, to `[batch, length] int32`, oldest first, then padding."""
        if isinstance(values, tf.RaggedTensor):
            return self._lookup(last_values(values, self.feature.length))
        return _last_indices(self._lookup(values), self.feature.length)


class HistoryEventTypesEncoder(FeatureEncoder[HistoryEventTypesFeature]):
    """The types of a history's events to rows of an embedding table, by the vocabulary."""

    def __init__(self, feature: HistoryEventTypesFeature, learnt: Learnt) -> None:
        """Takes the vocabulary of event types and the length of the history."""
        super().__init__(feature, learnt)
        self._lookup, self._width = learnt.lookups[feature.name], learnt.history_length

    @property
    def encoded(self) -> Encoded:
        """A bag with one entry for each item of the history."""
        size = self._lookup.num_indices
        return Encoded(form="bag", width=self._width, num_indices=size, table=self.feature.name)

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """`string` to `int32`, of any shape."""
        return self._lookup(values)


class HistoryTimesEncoder(FeatureEncoder[HistoryTimesFeature]):
    """The times of a history's events to buckets of the time since the event before."""

    def __init__(self, feature: HistoryTimesFeature, learnt: Learnt) -> None:
        """Takes the length of the history."""
        super().__init__(feature, learnt)
        self._width = learnt.history_length

    @property
    def encoded(self) -> Encoded:
        """A bag with one entry for each item of the history."""
        return Encoded(form="bag", width=self._width, num_indices=NUM_COUNTS, table=self.feature.name)

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """`[..., width] int64`, seconds since 1970-01-01 UTC, to `[..., width] int32`."""
        return time_gaps(values)


def _last_indices(indices: tf.Tensor, width: int) -> tf.Tensor:
    """`last_values` for indices: `[batch, n] int32` with 0 for a missing value to `[batch, width] int32`.

    It takes a dozen operations where ragged tensors take sixty, which matters since a server runs it for every request.
    """
    padded = tf.pad(indices, [[0, 0], [width, 0]])
    places = tf.where(padded > 0, tf.range(tf.shape(padded)[1]), 0)
    last = tf.math.top_k(places, width).values
    kept = tf.math.count_nonzero(last, axis=1, dtype=tf.int32)
    return tf.gather(padded, tf.reverse_sequence(last, kept, seq_axis=1), batch_dims=1)


def last_companions(companion: tf.Tensor, history: tf.Tensor, width: int) -> tf.Tensor:
    """Companion values of the history entries that `last_values` keeps.

    Args:
        companion: `[batch, m]`, one value for each entry; entries beyond the m-th have a missing value.
        history: `[batch, n] string`, padded with `""` anywhere.
        width: Number of entries to keep.

    Returns:
        `[batch, width]` of the companion's type, in the places of `last_values(history, width)`.
    """
    ragged = tf.ragged.boolean_mask(aligned_companion(companion, history), history != "")
    return ragged[:, -width:].to_tensor(default_value=_missing_companion(companion), shape=[None, width])


def aligned_companion(companion: tf.Tensor, history: tf.Tensor) -> tf.Tensor:
    """`[batch, m]` as `[batch, n]`, the shape of the history: cut, or padded with missing values."""
    wanted = tf.shape(history)[1]
    beyond = tf.maximum(wanted - tf.shape(companion)[1], 0)
    missing = _missing_companion(companion)
    return tf.pad(companion[:, :wanted], [[0, 0], [0, beyond]], constant_values=missing)


def assert_aligned(name: str, companion: tf.Tensor, history_name: str, history: tf.Tensor) -> tf.Operation:
    """Refuses a request with more companion values than items, inside the graph (INVALID_ARGUMENT).

    A companion may be left out, which leaves all its values missing; single values may be missing too. Fewer values
    than items are refused only if the whole companion is narrower than the longest history: beside a longer row the
    rest is padding, and padding at the end counts as missing.

    Args:
        name: Of the companion.
        companion: `[batch, m]`.
        history_name: Of the history.
        history: `[batch, n] string`, padded with `""` anywhere.
    """
    values, items = _length(companion != _missing_companion(companion)), _length(history != "")
    # An input that is narrower than the history's has no place for the values of the items beyond.
    fits = (values == 0) | ((values <= items) & (items <= tf.shape(companion)[1]))
    # The first query that does not fit; padded, since an empty batch has no least one.
    first = tf.argmin(tf.pad(tf.cast(fits, tf.int32), [[0, 1]], constant_values=1))
    num_values, num_items = (tf.gather(tf.pad(each, [[0, 1]]), first) for each in (values, items))
    expected = f"{name} must have one value for each item of {history_name}, or none at all; values:"
    return tf.debugging.Assert(tf.reduce_all(fits), [expected, num_values, "items:", num_items])


def _length(present: tf.Tensor) -> tf.Tensor:
    """`[batch, n] bool` to `[batch] int32`: one more than the last place that is present, 0 for none."""
    places = 1 + tf.range(tf.shape(present)[1])
    # Padded, since the greatest of no places at all would be the least integer.
    return tf.reduce_max(tf.pad(tf.where(present, places, 0), [[0, 0], [0, 1]]), axis=1)


def _missing_companion(companion: tf.Tensor) -> str | int:
    return "" if companion.dtype == tf.string else 0
