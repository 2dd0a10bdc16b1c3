"""A request's raw query features, completed: defaults spread over the batch, known users' histories looked up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding import LookupEncoder, Tensors, raw_missing, raw_spec
from features.schema import Schema
from features.spec import (
    HistoryCompanion,
    HistoryEventTypesFeature,
    HistoryFeature,
    HistoryTimesFeature,
)
from trainer.export.signatures import Input
from trainer.index.item_ids import ItemIds
from trainer.index.vectors import read_rows

# Moves seconds of the years 1970 to 2106 into an int32, half the memory of an int64.
_MIDDLE_SECOND = 1 << 31


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
    """The last events of each known user, for requests that send no history."""

    def __init__(self, schema: Schema, users: LookupEncoder, known: KnownHistories, item_ids: ItemIds) -> None:
        """Holds the histories.

        Args:
            schema: names of the history and of what belongs to it.
            users: the user ids' own encoder, whose vocabulary the known users are.
            known: their histories, in the order of the vocabulary.
            item_ids: the items that histories name.
        """
        super().__init__(name="user_histories")
        self._schema = schema
        self._users = users
        self._rows = _with_unknown_user(known.rows, -1, "rows")
        self._kinds = None if known.kinds is None else _with_unknown_user(known.kinds, -1, "kinds")
        # The first one stands for no kind, which is the place -1.
        self._kind_names = tf.constant([b"", *known.kind_names])
        self._times = None
        if known.times is not None:
            seconds = (known.times - _MIDDLE_SECOND).astype(np.int32)
            self._times = _with_unknown_user(seconds, -_MIDDLE_SECOND, "times")
        self._item_ids = item_ids

    def __call__(self, user_ids: tf.Tensor) -> Tensors:
        """What is known of users `[batch] string`: by feature name `[batch, length]`, padded where it is shorter."""
        user = 1 + self._users(user_ids) - self._users.vocabulary.first_token_index
        found = {}
        for feature in self._schema.query:
            if isinstance(feature, HistoryFeature):
                found[feature.name] = self._item_ids.ids(read_rows(self._rows, user))
            elif isinstance(feature, HistoryEventTypesFeature):
                found[feature.name] = tf.gather(self._kind_names, 1 + read_rows(self._kinds, user))
            elif isinstance(feature, HistoryTimesFeature):
                found[feature.name] = tf.cast(read_rows(self._times, user), tf.int64) + _MIDDLE_SECOND
        return found


class QueryInputs(tf.Module):
    """The query side of every signature: which inputs there are and how a request becomes a full raw query."""

    def __init__(self, schema: Schema, histories: UserHistories | None) -> None:
        """Builds the inputs of a schema; without `histories` a request that sends none has an empty one."""
        super().__init__(name="query_inputs")
        self.schema = schema
        self._histories = histories

    @property
    def required(self) -> str:
        """The one input a request cannot leave out: the user id, or the first feature where there is none."""
        names = [feature.name for feature in self.schema.query if not isinstance(feature, HistoryCompanion)]
        return self.schema.user_id if self.schema.user_id in names else names[0]

    def inputs(self) -> dict[str, Input]:
        """By name; all but the required one may be left out."""
        return {
            feature.name: Input(
                spec=raw_spec(feature), default=None if feature.name == self.required else raw_missing(feature)
            )
            for feature in self.schema.query
        }

    def complete(self, request: Tensors) -> Tensors:
        """The raw query features of a request, each for the whole batch.

        Args:
            request: by name; inputs other than the required one may have a batch of 1, which stands for all.

        Returns:
            `[batch]` by name, `[batch, length]` for the history; the history of a known user is looked up where the
            request's is empty.
        """
        batch = tf.shape(request[self.required])[0]
        raw = {feature.name: _spread(request[feature.name], batch) for feature in self.schema.query}
        history = self.schema.history
        if self._histories is not None and history is not None:
            is_sent = tf.reduce_any(raw[history.name] != "", axis=1, keepdims=True)
            known = self._histories(raw[self.schema.user_id])
            raw |= {name: _first_given(is_sent, raw[name], values) for name, values in known.items()}
        return raw

    def history(self, raw: Tensors) -> tf.Tensor:
        """The history in a complete raw query, `[batch, n] string`; n is 0 where the schema has none."""
        history = self.schema.history
        return tf.zeros([tf.shape(raw[self.required])[0], 0], tf.string) if history is None else raw[history.name]


def _spread(values: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """Repeats a batch of 1 to the whole batch; any other size must be the batch's own, else TensorFlow refuses."""
    shape = tf.concat([[batch], tf.shape(values)[1:]], axis=0)
    return tf.broadcast_to(values, shape)


def _with_unknown_user(values: npt.NDArray[np.int32], missing: int, name: str) -> tf.Variable:
    """One row more, the first and empty, for unknown users."""
    empty = np.full((1, values.shape[1]), missing, np.int32)
    return tf.Variable(np.concatenate([empty, values]), trainable=False, name=name)


def _first_given(is_sent: tf.Tensor, sent: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Row by row what was sent, or what is known where no history was sent; both `[batch, n]`."""
    width = tf.maximum(tf.shape(sent)[1], tf.shape(known)[1])
    return tf.where(is_sent, _widen(sent, width), _widen(known, width))


def _widen(values: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    missing = "" if values.dtype == tf.string else 0
    return tf.pad(values, [[0, 0], [0, width - tf.shape(values)[1]]], constant_values=missing)
