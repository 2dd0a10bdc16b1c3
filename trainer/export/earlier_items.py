"""Items of events older than a user's stored history, which `exclude_seen` leaves out of recommendations too."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding.schema_encoder import SchemaEncoder
from trainer.data.events import EncodedEvents
from trainer.index.item_ids import ItemIds
from trainer.metrics.protocol import Ragged

MOST_EARLIER_EVENTS = 5_000
"""Events of a user before the stored history that are looked at: a search finds as many items more as it leaves out."""


class EarlierItems(tf.Module):
    """The distinct items of each known user that are not among the last ones, as rows of an index."""

    def __init__(self, items: Ragged, first_user: int, known_ids: Sequence[bytes], item_ids: ItemIds) -> None:
        """Maps them to the rows of the index, whose catalogue may not be that of the training.

        Args:
            items: Rows of the known catalogue, by user in the order of the vocabulary.
            first_user: Encoded id of the first of these users.
            known_ids: The known catalogue.
            item_ids: Item ids of the index.
        """
        super().__init__(name="earlier_items")
        row_of_known = item_ids.numbers(tf.constant([b"", *known_ids], tf.string)).numpy()
        items = Ragged(items.indptr, row_of_known[1 + items.values].astype(np.int64))
        items = items.where(items.values >= 0)
        self._first_user = first_user
        # The first of them are those of unknown users: none.
        self._splits = tf.Variable(np.concatenate([[0], items.indptr]), trainable=False, name="earlier_splits")
        self._rows = tf.Variable(items.values.astype(np.int32), trainable=False, name="earlier_rows")

    def __call__(self, users: tf.Tensor) -> tf.Tensor:
        """Rows `[batch, e] int32` of the items of encoded users `[batch] int32`; -1 pads."""
        items = tf.RaggedTensor.from_row_splits(self._rows.value(), self._splits.value(), validate=False)
        return tf.gather(items, tf.maximum(users - (self._first_user - 1), 0)).to_tensor(-1)


def earlier_items(encoder: SchemaEncoder, blocks: Iterable[EncodedEvents], length: int) -> Ragged:
    """Collects the distinct items of each known user that are not among the last `length` events.

    A record only grows from split to split, so a user has them of the last record that holds more events than that.

    Args:
        encoder: The dataset's encoder.
        blocks: Events of training, validation and test, in this order, whole records at a time: the last record of a
            user is the most complete.
        length: Events that a stored history holds.

    Returns:
        Rows of the catalogue that the events refer to, by user in the order of the vocabulary.
    """
    user_id = encoder.schema.user_id
    vocabulary = encoder.lookup(user_id).vocabulary
    items: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(vocabulary.tokens)
    for events in blocks:
        users = events.user[user_id].astype(np.int64) - vocabulary.first_token_index
        # Of most users a stored history holds all.
        has_more = np.diff(events.record_splits) > length
        for record in np.flatnonzero((users >= 0) & has_more):
            rows = events.candidate_row[events.record_splits[record] : events.record_splits[record + 1]]
            rows = rows[rows >= 0][-(length + MOST_EARLIER_EVENTS) :].astype(np.int64)
            items[users[record]] = np.setdiff1d(rows[:-length], rows[-length:])
    return Ragged.from_lengths(np.array([len(each) for each in items]), np.concatenate([np.zeros(0, np.int64), *items]))
