"""A request's query features, encoded: defaults spread over the batch, known users' histories looked up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding.encoder import Tensors
from features.encoding.history import aligned_companion
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
    """The last events of each known user, oldest first; `[users, length]` each."""

    rows: npt.NDArray[np.int32]
    """Rows of the catalogue, -1 where a history is shorter."""
    kinds: npt.NDArray[np.int32] | None
    """Places in `kind_names` of the events' kinds, -1 where there is none; none where the schema has no kinds."""
    kind_names: Sequence[bytes]
    """The kinds of events."""
    times: npt.NDArray[np.int64] | None
    """Seconds since 1970-01-01 UTC, 0 where a history is shorter; none where the schema has no times."""


class UserHistories(tf.Module):
    """The last events of each known user, encoded, for requests that send no history."""

    def __init__(
        self, encoder: SchemaEncoder, users: VocabularyLookup, known: KnownHistories, item_ids: Sequence[bytes]
    ) -> None:
        """Holds the histories.

        Args:
            encoder: of the schema's features.
            users: the user ids' own encoder, whose vocabulary the known users are.
            known: their histories, in the order of the vocabulary.
            item_ids: the catalogue whose rows the histories name.
        """
        super().__init__(name="user_histories")
        self.item_ids = np.array([b"", *item_ids], object)
        """The catalogue, after the empty id that row -1 stands for."""
        self._first_user = users.vocabulary.first_token_index
        schema = encoder.schema
        assert schema.history is not None
        self._history = schema.history.name
        self._rows = _with_unknown_user(known.rows, -1, "rows")
        # Row -1 is no item, which has index 0.
        items = encoder.lookup(schema.item_id)(tf.constant(self.item_ids, tf.string))
        self._index_of_row = tf.Variable(items, trainable=False, name="index_of_row")
        self.times = known.times
        """Seconds since 1970-01-01 UTC, `[users, length]`, in the order of the vocabulary; not saved."""
        self._beside = {
            feature.name: _with_unknown_user(values, 0, feature.name)
            for feature, values in _encoded_companions(encoder, known)
        }

    def rows(self, users: tf.Tensor) -> tf.Tensor:
        """Catalogue rows `[batch, length] int32` of the histories of users `[batch] int32`, encoded; -1 for none."""
        return read_rows(self._rows, self.places(users))

    def __call__(self, users: tf.Tensor) -> Tensors:
        """What is known of users `[batch] int32`, encoded: by feature name `[batch, length] int32`, 0 for none."""
        places = self.places(users)
        history = tf.gather(self._index_of_row.value(), 1 + read_rows(self._rows, places))
        return {self._history: history} | {name: read_rows(column, places) for name, column in self._beside.items()}

    def places(self, users: tf.Tensor) -> tf.Tensor:
        """Rows of what is held of users `[batch] int32`, encoded; 0 for unknown ones."""
        return users - (self._first_user - 1)


def _encoded_companions(
    encoder: SchemaEncoder, known: KnownHistories
) -> Iterator[tuple[HistoryCompanion, npt.NDArray[np.int32]]]:
    schema = encoder.schema
    if schema.history_event_types is not None and known.kinds is not None:
        names = tf.constant([b"", *known.kind_names])  # the first one stands for no kind, which is the place -1
        kinds = encoder.encode(schema.history_event_types, names).numpy()
        yield schema.history_event_types, kinds[1 + known.kinds]
    if schema.history_times is not None and known.times is not None:
        yield schema.history_times, encoder.encode(schema.history_times, tf.constant(known.times)).numpy()


class QueryInputs(tf.Module):
    """The query side of every signature: which inputs there are and how a request becomes a full raw query."""

    def __init__(self, schema: Schema, histories: UserHistories | None) -> None:
        """Builds the inputs of a schema; without `histories` a request that sends none has an empty one."""
        super().__init__(name="query_inputs")
        self.schema = schema
        self.histories = histories

    @property
    def required(self) -> str:
        """The one input a request cannot leave out: the user id, or the first feature where there is none."""
        names = [feature.name for feature in self.schema.query if feature not in self.schema.history_companions]
        return self.schema.user_id if self.schema.user_id in names else names[0]

    def inputs(self) -> dict[str, Input]:
        """By name; all but the required one may be left out."""
        return {
            feature.name: Input(
                spec=raw_spec(feature), default=None if feature.name == self.required else raw_missing(feature)
            )
            for feature in self.schema.query
        }

    def encode(self, request: Tensors, encoder: SchemaEncoder) -> Tensors:
        """The encoded query features of a request, each for the whole batch.

        Args:
            request: by name; inputs other than the required one may have a batch of 1, which stands for all.
            encoder: of the schema's features.

        Returns:
            `[batch]` by name, `[batch, length]` for the history; the history of a known user is looked up where the
            request's is empty.
        """
        encoded = encoder.encode_query(self._raw(request))
        history = self.schema.history
        if self.histories is None or history is None:
            return encoded
        is_sent = tf.reduce_any(encoded[history.name] > 0, axis=1, keepdims=True)
        known = self.histories(encoded[self.schema.user_id])
        return encoded | {name: tf.where(is_sent, encoded[name], values) for name, values in known.items()}

    def sent_history(self, request: Tensors) -> tf.Tensor:
        """The history that a request sends, `[batch, n] string`; n is 0 where the schema has none."""
        history = self.schema.history
        batch = tf.shape(request[self.required])[0]
        return tf.fill([batch, 0], "") if history is None else _spread(request[history.name], batch)

    def sent_ages(self, request: Tensors) -> tf.Tensor | None:
        """`age_buckets` of the entries of `sent_history`, `[batch, n] int32`; None where the schema has no times."""
        times = self.schema.history_times
        if times is None:
            return None
        sent, history = self.sent_history(request), self.schema.history
        given = aligned_companion(_spread(request[times.name], tf.shape(sent)[0]), sent)
        back = tf.cumsum(tf.cast(sent != "", tf.int32), axis=1, reverse=True, exclusive=True)
        # As in training: the newest of the entries that count.
        counts = (sent != "") & (back < (0 if history is None else history.length))
        return age_buckets(tf.where(counts, given, tf.constant(0, tf.int64)))

    def _raw(self, request: Tensors) -> Tensors:
        required = request[self.required]
        batch = tf.shape(required)[0]
        others = (feature.name for feature in self.schema.query if feature.name != self.required)
        return {self.required: required} | {name: _spread(request[name], batch) for name in others}


class HistoryEntries(tf.Module):
    """The history of a request by the rows of an index: the sent one, or else the known one."""

    def __init__(self, query: QueryInputs, item_ids: ItemIds, *, with_ages: bool) -> None:
        """Ties the known histories to the index; they name rows of the catalogue of the training, maybe another one.

        Args:
            query: the query side, with the known histories.
            item_ids: of the index.
            with_ages: whether the ages of the entries are wanted, where the schema has times.
        """
        super().__init__(name="history_entries")
        self._query, self._item_ids, histories = query, item_ids, query.histories
        known = [b""] if histories is None else histories.item_ids
        rows = item_ids.numbers(tf.constant(known, tf.string))
        self._row_of_known = tf.Variable(rows, trainable=False, name="row_of_known")
        self._with_ages = with_ages and query.schema.history_times is not None
        if self._with_ages and histories is not None and histories.times is not None:
            ages = age_buckets(tf.constant(histories.times)).numpy()
            self._known_ages = _with_unknown_user(ages, 0, "known_ages")

    def __call__(self, request: Tensors, encoded: Tensors) -> EntriesOfHistories:
        """The entries of a batch of requests, raw and encoded."""
        sent, histories = self._query.sent_history(request), self._query.histories
        rows, present = self._item_ids.numbers(sent), sent != ""
        ages = self._query.sent_ages(request) if self._with_ages else None
        if histories is None:
            return EntriesOfHistories(rows, present, ages)
        users = encoded[self._query.schema.user_id]
        known, is_sent = histories.rows(users), tf.reduce_any(present, axis=1, keepdims=True)
        known_rows = tf.where(is_sent, -1, tf.gather(self._row_of_known.value(), 1 + known))
        if ages is not None:
            ages = tf.concat([ages, read_rows(self._known_ages, histories.places(users))], axis=1)
        # Only one of the two has entries, so that their order stays.
        present = tf.concat([present, (known >= 0) & ~is_sent], axis=1)
        return EntriesOfHistories(tf.concat([rows, known_rows], axis=1), present, ages)


def _spread(values: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """Repeats a batch of 1 to the whole batch; any other size must be the batch's own, else TensorFlow refuses."""
    shape = tf.concat([[batch], tf.shape(values)[1:]], axis=0)
    return tf.broadcast_to(values, shape)


def _with_unknown_user(values: npt.NDArray[np.int32], missing: int, name: str) -> tf.Variable:
    """One row more, the first and empty, for unknown users."""
    empty = np.full((1, values.shape[1]), missing, np.int32)
    return tf.Variable(np.concatenate([empty, values]), trainable=False, name=name)
