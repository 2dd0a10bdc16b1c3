"""The items that are most like each item: those that the same users took."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from features.encoding.schema_encoder import SchemaEncoder
from trainer.config.augmentation import AugmentationConfig
from trainer.data.events import EncodedEvents, Int32
from trainer.layers.embedding import special_indices

# Pairs of items that are sorted at once, at most: some 40 bytes each. One item with all others is always possible.
_BLOCK_PAIRS = 4_000_000


class SimilarItems(NamedTuple):
    """Similar items of each item, by rows of the item embeddings."""

    rows: Int32
    """`[num_indices, k]`: the most similar first, 0 after the last. An item without any has itself alone."""
    counts: Int32
    """`[num_indices]`: how many there are of each item, from 1 to k."""


def similar_items_for(
    config: AugmentationConfig, events: EncodedEvents | None, encoder: SchemaEncoder
) -> SimilarItems | None:
    """Those that the configuration needs; None if it needs none, or without events, when nothing is trained."""
    if not config.substitute or events is None:
        return None
    item_id = encoder.schema.item_id
    num_indices = encoder.encoded(encoder.schema.item_id_feature).num_indices
    first = special_indices(encoder)[item_id]
    return similar_items(events, num_indices=num_indices, first_index=first, count=config.neighbours)


def similar_items(events: EncodedEvents, *, num_indices: int, first_index: int, count: int) -> SimilarItems:
    """Finds them by the cosine of the items' users, n_ij / (n_i n_j)^1/2, of the events that enter histories.

    Args:
        events: Encoded events of the training split.
        num_indices: Rows of the item embeddings.
        first_index: First row that belongs to one item alone; those before are nobody's neighbours and have none.
        count: k, similar items of an item at most; of equally similar ones those of the lowest rows.
    """
    taken = _taken(events, num_indices, first_index)
    rows = np.zeros((num_indices, count), np.int32)
    sizes = np.maximum(np.diff(taken.tocsc().indptr), 1).astype(np.float64)
    by_item = taken.T.tocsr()
    for start, stop in _blocks(taken):
        # Whole numbers, which float32 adds up exactly, so that equal cosines are equal.
        common = (by_item[start:stop] @ taken).tocoo()
        item, other = common.coords[0] + start, common.coords[1]
        cosines = common.data / np.sqrt(sizes[item] * sizes[other])
        is_other = item != other
        _keep_first(rows, item[is_other], other[is_other], cosines[is_other])
    alone = rows[:, 0] == 0
    rows[alone, 0] = np.flatnonzero(alone)
    return SimilarItems(rows, np.maximum((rows > 0).sum(axis=1), 1).astype(np.int32))


def _taken(events: EncodedEvents, num_indices: int, first_index: int) -> sp.csr_array:
    """`[records, num_indices] float32`: 1 where the history of a record holds an item that is known."""
    records, items = events.record_of_event()[events.history_events], events.history_items
    known = items >= first_index
    ones = np.ones(int(known.sum()), np.float32)
    taken = sp.csr_array((ones, (records[known], items[known])), shape=(events.num_records, num_indices))
    taken.data[:] = 1.0  # once, however often it was taken
    return taken


def _blocks(taken: sp.csr_array) -> Iterator[tuple[int, int]]:
    """Ranges of items whose users' items form `_BLOCK_PAIRS` pairs or fewer; an item with more is alone."""
    pairs = np.minimum(taken.T @ np.diff(taken.indptr).astype(np.float64), taken.shape[1])
    ends = np.cumsum(pairs)
    start = 0
    while start < len(pairs):
        before = ends[start - 1] if start else 0.0
        stop = max(int(np.searchsorted(ends, before + _BLOCK_PAIRS, side="right")), start + 1)
        yield start, stop
        start = stop


def _keep_first(rows: Int32, item: Int32, other: Int32, cosines: np.ndarray) -> None:
    """Writes the most similar of the pairs, `[pairs]` each, into the rows of their items."""
    order = np.lexsort((other, -cosines, item))
    item, other = item[order], other[order]
    starts = np.searchsorted(item, item)
    place = np.arange(len(item)) - starts
    kept = place < rows.shape[1]
    rows[item[kept], place[kept]] = other[kept]
