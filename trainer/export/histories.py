"""The last items of every user, which the exported models use for requests without a history."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.vocabulary import Vocabulary
from features.schema import Schema
from features.spec.history import HistoryCompanion
from trainer.data.events import EncodedEvents
from trainer.export.query import KnownHistories, StoredHistories, UserHistories

_ROWS = "rows of the catalogue"


def user_histories(
    encoder: SchemaEncoder, blocks: Iterable[EncodedEvents], item_ids: Sequence[bytes], enabled: bool
) -> UserHistories | None:
    """Collects the last items of each user with an embedding, over all splits, as the models learn from them.

    Args:
        encoder: The dataset's encoder.
        blocks: Events of training, validation and test, in this order, whole records at a time: the last record of a
            user is the most complete. Not read where histories are not looked up.
        item_ids: The catalogue that the events' rows refer to.
        enabled: Whether histories are looked up at all.

    Returns:
        None if they are not, or if the schema has no history or no user id.
    """
    schema = encoder.schema
    if not enabled or not _has_histories(schema):
        return None
    assert schema.history is not None, "_has_histories"
    known = _collect(encoder, blocks, schema.history.length, schema.history_companions)
    return UserHistories(encoder, encoder.lookup(schema.user_id), known, item_ids)


def stored_histories(
    encoder: SchemaEncoder, blocks: Iterable[EncodedEvents], item_ids: Sequence[bytes], enabled: bool, *, length: int
) -> StoredHistories | None:
    """Collects the last items of each user and their times alone, `length` of them; the rest as `user_histories`."""
    schema = encoder.schema
    if not enabled or not _has_histories(schema):
        return None
    times = [] if schema.history_times is None else [schema.history_times]
    known = _collect(encoder, blocks, length, times)
    return StoredHistories(encoder.lookup(schema.user_id), known, item_ids)


def _has_histories(schema: Schema) -> bool:
    return schema.history is not None and schema.user_id in {feature.name for feature in schema.query}


def _collect(
    encoder: SchemaEncoder, blocks: Iterable[EncodedEvents], length: int, companions: Sequence[HistoryCompanion]
) -> KnownHistories:
    """The last `length` items of each known user, with the kinds or times that are among the companions."""
    schema, vocabulary = encoder.schema, encoder.lookup(encoder.schema.user_id).vocabulary
    shape = (len(vocabulary.tokens), length)
    known: dict[str, npt.NDArray[np.int64]] = {_ROWS: np.full(shape, -1, np.int64)}
    known |= {feature.name: np.full(shape, 0, np.int64) for feature in companions}
    for events in blocks:
        _fill(known, events, schema, vocabulary.first_token_index)
    kinds, times = schema.history_event_types, schema.history_times
    if kinds is None or kinds not in companions:
        places, names = None, list[bytes]()
    else:
        places, names = _kinds(known[kinds.name], encoder.lookup(kinds.name).vocabulary)
    return KnownHistories(
        rows=known[_ROWS].astype(np.int32),
        kinds=places,
        kind_names=names,
        times=None if times is None else known[times.name],
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
