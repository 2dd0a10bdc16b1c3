"""Every user's last items, as the exported models know them."""

import numpy as np
import numpy.typing as npt

from features.encoding import SchemaEncoder
from features.schema import Schema
from trainer.events import Events
from trainer.export.query import UserHistories
from trainer.index.item_ids import ItemIds


def user_histories(
    encoder: SchemaEncoder, splits: list[Events], item_ids: ItemIds, enabled: bool
) -> UserHistories | None:
    """The last items of each user with an embedding, over all splits.

    Args:
        encoder: of the dataset.
        splits: training, validation and test events, in this order: of a user's records the last one knows most.
        item_ids: the catalogue.
        enabled: whether histories shall be looked up at all.

    Returns:
        None where they shall not be, or where the schema has no history or no user id.
    """
    schema = encoder.schema
    if not enabled or schema.history is None or schema.user_id not in {f.name for f in schema.query}:
        return None
    users = encoder.lookup(schema.user_id)
    rows = np.full((len(users.vocabulary.tokens), schema.history.length), -1, np.int32)
    for events in splits:
        _fill(rows, events, schema, users.vocabulary.first_token_index)
    return UserHistories(users, rows, item_ids)


def _fill(rows: npt.NDArray[np.int32], events: Events, schema: Schema, first_user_index: int) -> None:
    """Overwrites the histories of the split's users; a record holds all that was known of its user."""
    users = events.user[schema.user_id].astype(np.int64) - first_user_index
    width = rows.shape[1]
    for record in np.flatnonzero(users >= 0):
        items = events.candidate_row[events.record_splits[record] : events.record_splits[record + 1]]
        last = items[items >= 0][-width:]
        rows[users[record]] = -1
        rows[users[record], : len(last)] = last
