"""The last items of every user, which the exported models use for requests without a history."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.vocabulary import Vocabulary
from features.schema import Schema
from trainer.data.events import EncodedEvents
from trainer.export.query import KnownHistories, UserHistories

_ROWS = "rows of the catalogue"


def user_histories(
    encoder: SchemaEncoder,
    blocks: Iterable[EncodedEvents],
    item_ids: Sequence[bytes],
    enabled: bool,
    *,
    length: int | None = None,
) -> UserHistories | None:
    """Collects the last items of each user with an embedding, over all splits.

    Args:
        encoder: The dataset's encoder.
        blocks: Events of training, validation and test, in this order, whole records at a time: the last record of a
            user is the most complete. Not read where histories are not looked up.
        item_ids: The catalogue that the events' rows refer to.
        enabled: Whether histories are looked up at all.
        length: Most items of a user; those of the schema's history if it is None.

    Returns:
        None if they are not, or if the schema has no history or no user id.
    """
    schema = encoder.schema
    if not enabled or schema.history is None or schema.user_id not in {f.name for f in schema.query}:
        return None
    users = encoder.lookup(schema.user_id)
    shape = (len(users.vocabulary.tokens), length or schema.history.length)
    known: dict[str, npt.NDArray[np.int64]] = {_ROWS: np.full(shape, -1, np.int64)}
    known |= {feature.name: np.full(shape, 0, np.int64) for feature in schema.history_companions}
    for events in blocks:
        _fill(known, events, schema, users.vocabulary.first_token_index)
    kinds, times = schema.history_event_types, schema.history_times
    places, names = (None, []) if kinds is None else _kinds(known[kinds.name], encoder.lookup(kinds.name).vocabulary)
    return UserHistories(
        encoder,
        users,
        KnownHistories(
            rows=known[_ROWS].astype(np.int32),
            kinds=places,
            kind_names=names,
            times=None if times is None else known[times.name],
        ),
        item_ids,
    )


def _kinds(indices: npt.NDArray[np.int64], vocabulary: Vocabulary) -> tuple[npt.NDArray[np.int32] | None, list[bytes]]:
    """Positions in the list of event kinds, -1 for kinds unseen in training, and the list."""
    places = np.maximum(indices - vocabulary.first_token_index, -1).astype(np.int32)
    return places, [token.encode() for token in vocabulary.tokens]


def _fill(
    known: dict[str, npt.NDArray[np.int64]], events: EncodedEvents, schema: Schema, first_user_index: int
) -> None:
    """Overwrites the histories of the split's users; a record holds its user's whole history."""
    users = events.user[schema.user_id].astype(np.int64) - first_user_index
    columns = {_ROWS: events.candidate_row, **events.companions}
    width = known[_ROWS].shape[1]
    for record in np.flatnonzero(users >= 0):
        of_record = slice(events.record_splits[record], events.record_splits[record + 1])
        last = np.flatnonzero(events.candidate_row[of_record] >= 0)[-width:]
        for name, values in known.items():
            values[users[record]] = -1 if name == _ROWS else 0
            values[users[record], : len(last)] = columns[name][of_record][last]
