"""A request's raw query features, completed: defaults spread over the batch, known users' histories looked up."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding import LookupEncoder, Tensors, raw_spec
from features.schema import Schema
from features.spec import QueryFeature, is_list, missing_value_of, raw_type
from trainer.export.signatures import Input
from trainer.index.item_ids import ItemIds
from trainer.index.vectors import read_rows


class UserHistories(tf.Module):
    """The last items of each known user, for requests that send no history."""

    def __init__(self, users: LookupEncoder, rows: npt.NDArray[np.int32], item_ids: ItemIds) -> None:
        """Holds the histories.

        Args:
            users: the user ids' own encoder, whose vocabulary the known users are.
            rows: `[users, length] int32`, rows of `item_ids`, oldest first, -1 where a history is shorter; in the order
                of the vocabulary.
            item_ids: the items that histories name.
        """
        super().__init__(name="user_histories")
        self._users = users
        # One row more, the first and empty, for unknown users.
        empty = np.full((1, rows.shape[1]), -1, np.int32)
        self._rows = tf.Variable(np.concatenate([empty, rows]), trainable=False, name="rows")
        self._item_ids = item_ids

    def __call__(self, user_ids: tf.Tensor) -> tf.Tensor:
        """Item ids `[batch, length] string` of users `[batch] string`; `""` where a history is shorter."""
        place = self._users(user_ids) - self._users.vocabulary.first_token_index
        return self._item_ids.ids(read_rows(self._rows, 1 + place))


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
        names = [feature.name for feature in self.schema.query]
        return self.schema.user_id if self.schema.user_id in names else names[0]

    def inputs(self) -> dict[str, Input]:
        """By name; all but the required one may be left out."""
        return {
            feature.name: Input(
                spec=raw_spec(feature), default=None if feature.name == self.required else _default(feature)
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
            raw[history.name] = _first_given(raw[history.name], self._histories(raw[self.schema.user_id]))
        return raw

    def history(self, raw: Tensors) -> tf.Tensor:
        """The history in a complete raw query, `[batch, n] string`; n is 0 where the schema has none."""
        history = self.schema.history
        return tf.zeros([tf.shape(raw[self.required])[0], 0], tf.string) if history is None else raw[history.name]


def _default(feature: QueryFeature) -> tf.Tensor:
    missing = missing_value_of(raw_type(feature))
    value = [[missing]] if is_list(feature) else [missing]
    return tf.constant(value, tf.dtypes.as_dtype(raw_type(feature)))


def _spread(values: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """Repeats a batch of 1 to the whole batch; any other size must be the batch's own, else TensorFlow refuses."""
    shape = tf.concat([[batch], tf.shape(values)[1:]], axis=0)
    return tf.broadcast_to(values, shape)


def _first_given(sent: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Row by row what was sent, or what is known where nothing was sent; both `[batch, n] string`."""
    width = tf.maximum(tf.shape(sent)[1], tf.shape(known)[1])
    is_sent = tf.reduce_any(sent != "", axis=1, keepdims=True)
    return tf.where(is_sent, _widen(sent, width), _widen(known, width))


def _widen(values: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    return tf.pad(values, [[0, 0], [0, width - tf.shape(values)[1]]], constant_values="")
