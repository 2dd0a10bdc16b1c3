"""Encodes the query features of a request: broadcasts defaults and looks up the histories of known users."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding.encoder import Tensors
from features.encoding.history import aligned_companion, assert_aligned
from features.encoding.log_buckets import age_buckets
from features.encoding.lookup import VocabularyLookup
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.signature import raw_missing, raw_spec
from features.schema import Schema
from features.spec.history import HistoryCompanion
from trainer.export.signatures import Input
from trainer.index.item_ids import ItemIds
from trainer.index.vectors import read_rows
from trainer.retrieval.repeat_bonus import EntriesOfHistories


@dataclass(frozen=True, kw_only=True)
class KnownHistories:
    """The last events of each known user, oldest first, `[users, length]` each."""

    rows: npt.NDArray[np.int32]
    """Rows of the catalogue; -1 pads shorter histories."""
    kinds: npt.NDArray[np.int32] | None
    """Positions of the events' kinds in `kind_names`, -1 for none; None if the schema has no event kinds."""
    kind_names: Sequence[bytes]
    """The event kinds."""
    times: npt.NDArray[np.int64] | None
    """Seconds since 1970-01-01 UTC; 0 pads shorter histories. None if the schema has no event times."""


class StoredHistories(tf.Module):
    """The items of the last events of each known user, for requests without a history."""

    def __init__(self, users: VocabularyLookup, known: KnownHistories, item_ids: Sequence[bytes]) -> None:
        """Stores the histories.

        Args:
            users: Encoder of the user ids; its vocabulary is the list of known users.
            known: Histories of the known users, in the order of the vocabulary.
            item_ids: The catalogue that the histories' rows refer to.
        """
        super().__init__(name="user_histories")
        self.item_ids = np.array([b"", *item_ids], object)
        """The item ids of the catalogue, preceded by the empty id for row -1."""
        self.first_user = users.vocabulary.first_token_index
        """Encoded id of the first known user."""
        self.length = known.rows.shape[1]
        """Events of a history, at most."""
        self._rows = _with_unknown_user(known.rows, -1, "rows")
        self.times = known.times
        """Seconds since 1970-01-01 UTC, `[users, length]`, in the order of the vocabulary; not saved."""

    def rows(self, users: tf.Tensor) -> tf.Tensor:
        """Catalogue rows `[batch, length] int32` of the histories of encoded users `[batch] int32`; -1 for none."""
        return read_rows(self._rows, self.places(users))

    def places(self, users: tf.Tensor) -> tf.Tensor:
        """Rows of encoded users `[batch] int32` in the stored tables; 0 for unknown users."""
        return users - (self.first_user - 1)


class UserHistories(StoredHistories):
    """The same with what models learn from it: the encoded items, and the encoded kinds and times of the events."""

    def __init__(
        self, encoder: SchemaEncoder, users: VocabularyLookup, known: KnownHistories, item_ids: Sequence[bytes]
    ) -> None:
        """Stores the histories and encodes them by the schema's `encoder`; the rest as in `StoredHistories`."""
        super().__init__(users, known, item_ids)
        schema = encoder.schema
        assert schema.history is not None
        self._history = schema.history.name
        # Row -1 means no item, which is encoded as index 0.
        items = encoder.lookup(schema.item_id)(tf.constant(self.item_ids, tf.string))
        self._index_of_row = tf.Variable(items, trainable=False, name="index_of_row")
        self._beside = {
            feature.name: _with_unknown_user(values, 0, feature.name)
            for feature, values in _encoded_companions(encoder, known)
        }

    def __call__(self, users: tf.Tensor) -> Tensors:
        """Encoded histories of encoded users `[batch] int32`, by feature name, `[batch, length] int32`; 0 for none."""
        places = self.places(users)
        history = tf.gather(self._index_of_row.value(), 1 + read_rows(self._rows, places))
        return {self._history: history} | {name: read_rows(column, places) for name, column in self._beside.items()}


def _encoded_companions(
    encoder: SchemaEncoder, known: KnownHistories
) -> Iterator[tuple[HistoryCompanion, npt.NDArray[np.int32]]]:
    schema = encoder.schema
    if schema.history_event_types is not None and known.kinds is not None:
        names = tf.constant([b"", *known.kind_names])  # the first one stands for position -1, no kind
        kinds = encoder.encode(schema.history_event_types, names).numpy()
        yield schema.history_event_types, kinds[1 + known.kinds]
    if schema.history_times is not None and known.times is not None:
        yield schema.history_times, encoder.encode(schema.history_times, tf.constant(known.times)).numpy()


class QueryInputs(tf.Module):
    """The query inputs of every signature, and how a request is completed and encoded."""

    def __init__(self, schema: Schema, histories: UserHistories | None) -> None:
        """Builds the inputs of a schema; without `histories`, requests without a history have an empty one."""
        super().__init__(name="query_inputs")
        self.schema = schema
        self.histories = histories

    @property
    def required(self) -> str:
        """The one required input: the user id, or the first feature if there is no user id."""
        names = [feature.name for feature in self.schema.query if feature not in self.schema.history_companions]
        return self.schema.user_id if self.schema.user_id in names else names[0]

    def inputs(self) -> dict[str, Input]:
        """The inputs by name; all but the required one are optional."""
        return {
            feature.name: Input(
                spec=raw_spec(feature), default=None if feature.name == self.required else raw_missing(feature)
            )
            for feature in self.schema.query
        }

    def encode(self, request: Tensors, encoder: SchemaEncoder) -> Tensors:
        """Encodes the query features of a request.

        Args:
            request: Inputs by name; all but the required one may have a batch of 1, which is broadcast.
            encoder: The schema's encoder.

        Returns:
            `[batch]` by name, `[batch, length]` for the history, which is looked up for known users if the request's
            is empty.
        """
        encoded = encoder.encode_query(self._raw(request))
        history = self.schema.history
        if self.histories is None or history is None:
            return encoded
        is_sent = tf.reduce_any(encoded[history.name] > 0, axis=1, keepdims=True)
        known = self.histories(encoded[self.schema.user_id])
        return encoded | {name: tf.where(is_sent, encoded[name], values) for name, values in known.items()}

    def sent_history(self, request: Tensors) -> tf.Tensor:
        """The history in a request, `[batch, n] string`; n is 0 if the schema has no history."""
        history = self.schema.history
        batch = tf.shape(request[self.required])[0]
        return tf.fill([batch, 0], "") if history is None else _spread(request, history.name, batch)

    def sent_times(self, request: Tensors) -> tf.Tensor | None:
        """Times of the entries of `sent_history`, `[batch, n] int64`, 0 for unknown; None without event times."""
        times = self.schema.history_times
        if times is None:
            return None
        sent = self.sent_history(request)
        return aligned_companion(_spread(request, times.name, tf.shape(sent)[0]), sent)

    def asked_at(self, request: Tensors) -> tf.Tensor:
        """`[batch] int64`: the time that each request names, seconds since 1970-01-01 UTC; 0 for none."""
        batch, name = tf.shape(request[self.required])[0], self.schema.timestamp
        return _spread(request, name, batch) if name in self.inputs() else tf.zeros([batch], tf.int64)

    def sent_ages(self, request: Tensors) -> tf.Tensor | None:
        """`age_buckets` of the entries of `sent_history`, `[batch, n] int32`; None if the schema has no event times."""
        given = self.sent_times(request)
        if given is None:
            return None
        sent, history = self.sent_history(request), self.schema.history
        back = tf.cumsum(tf.cast(sent != "", tf.int32), axis=1, reverse=True, exclusive=True)
        # As in training, only the newest entries count.
        counts = (sent != "") & (back < (0 if history is None else history.length))
        return age_buckets(tf.where(counts, given, tf.constant(0, tf.int64)))

    def _raw(self, request: Tensors) -> Tensors:
        required = request[self.required]
        batch = tf.shape(required)[0]
        others = (feature.name for feature in self.schema.query if feature.name != self.required)
        raw = {self.required: required} | {name: _spread(request, name, batch) for name in others}
        history = self.schema.history
        if history is None:
            return raw
        checks = [
            assert_aligned(feature.name, raw[feature.name], history.name, raw[history.name])
            for feature in self.schema.history_companions
        ]
        with tf.control_dependencies(checks):
            return {name: tf.identity(values) for name, values in raw.items()}


class HistoryEntries(tf.Module):
    """The history of a request as rows of an index: the one in the request, or else the known one."""

    def __init__(
        self,
        query: QueryInputs,
        item_ids: ItemIds,
        *,
        with_ages: bool = False,
        with_times: bool = False,
        histories: StoredHistories | None = None,
    ) -> None:
        """Maps the known histories to the rows of the index, whose catalogue may not be that of the training.

        Args:
            query: The query inputs, with the known histories.
            item_ids: Item ids of the index.
            with_ages: Whether to compute the ages of the entries, if the schema has event times.
            with_times: Whether to give the times of the entries, if the schema has them.
            histories: Known histories in place of those of `query`, such as longer ones.
        """
        super().__init__(name="history_entries")
        histories = histories or query.histories
        self._query, self._item_ids, self._histories = query, item_ids, histories
        known = [b""] if histories is None else histories.item_ids
        rows = item_ids.numbers(tf.constant(known, tf.string))
        self._row_of_known = tf.Variable(rows, trainable=False, name="row_of_known")
        self._with_ages = with_ages and query.schema.history_times is not None
        self._with_times = with_times and query.schema.history_times is not None
        if histories is not None and histories.times is not None:
            if self._with_ages:
                ages = age_buckets(tf.constant(histories.times)).numpy()
                self._known_ages = _with_unknown_user(ages, 0, "known_ages")
            if self._with_times:
                since, times = relative_times(histories.times)
                self._known_times, self._known_since = _with_unknown_user(times, 0, "known_times"), since

    def __call__(self, request: Tensors, encoded: Tensors) -> EntriesOfHistories:
        """The history entries of a batch of requests, given raw and encoded."""
        sent, histories = self._query.sent_history(request), self._histories
        rows, present = self._item_ids.numbers(sent), sent != ""
        ages = self._query.sent_ages(request) if self._with_ages else None
        times = self._query.sent_times(request) if self._with_times else None
        if histories is None:
            return EntriesOfHistories(rows, present, ages, times)
        users = encoded[self._query.schema.user_id]
        known, is_sent = histories.rows(users), tf.reduce_any(present, axis=1, keepdims=True)
        known_rows = tf.where(is_sent, -1, tf.gather(self._row_of_known.value(), 1 + known))
        if ages is not None:
            ages = tf.concat([ages, read_rows(self._known_ages, histories.places(users))], axis=1)
        if times is not None:
            stored, unknown = read_rows(self._known_times, histories.places(users)), tf.constant(0, tf.int64)
            known_times = tf.where(is_sent | (stored == 0), unknown, tf.cast(stored, tf.int64) + self._known_since)
            times = tf.concat([tf.where(present, times, unknown), known_times], axis=1)
        # Only one of the two has entries, so their order is kept.
        present = tf.concat([present, (known >= 0) & ~is_sent], axis=1)
        return EntriesOfHistories(tf.concat([rows, known_rows], axis=1), present, ages, times)


def relative_times(times: npt.NDArray[np.int64]) -> tuple[int, npt.NDArray[np.int32 | np.int64]]:
    """Times in half the bytes, exactly.

    Args:
        times: Seconds since 1970-01-01 UTC, 0 where unknown.

    Returns:
        A moment in seconds since 1970-01-01 UTC, and the seconds since it as int32, from 1 on; 0 stays what is unknown.
        Where more than 68 years lie between two times, 0 and the times as they are.
    """
    since = int(times.min(where=times > 0, initial=np.iinfo(np.int64).max)) - 1
    if times.max(initial=0) - since > np.iinfo(np.int32).max:
        return 0, times
    return since, np.where(times > 0, times - since, 0).astype(np.int32)


def _spread(request: Tensors, name: str, batch: tf.Tensor) -> tf.Tensor:
    """An input with as many rows as the batch has; one row stands for all, and the error for another number says so."""
    values = request[name]
    rows = tf.shape(values)[0]
    is_right = (rows == 1) | (rows == batch)
    problem = [f"{name}: expected one row for all queries or one for each, number of rows and of queries:", rows, batch]
    with tf.control_dependencies([tf.debugging.Assert(is_right, problem)]):
        return tf.broadcast_to(values, tf.concat([[batch], tf.shape(values)[1:]], axis=0))


def _with_unknown_user(values: npt.NDArray[np.int32 | np.int64], missing: int, name: str) -> tf.Variable:
    """Prepends an empty row, for unknown users."""
    empty = np.full((1, values.shape[1]), missing, values.dtype)
    return tf.Variable(np.concatenate([empty, values]), trainable=False, name=name)
