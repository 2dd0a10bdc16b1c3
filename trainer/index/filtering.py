"""How a filtered query is answered: the cheapest way that keeps recall.

The rule, for each query of a batch on its own:

1. With an allow-list, exactly the listed items are scored.
2. Otherwise the share s of items that pass is estimated on a fixed sample of 2,048 items, and k (2 - s) / s candidates
   would have to be fetched from the index, so that k pass with room to spare. If these are no more than
   `max_filtered_candidates` (8,000) and than a 64th of the catalogue, they are fetched and the filter is applied to
   them.
3. Where they are more, or where fewer than k of the fetched ones pass, every item that passes is scored exactly.

An exact index, and a catalogue small enough that a scan costs no more than a search, go straight to 3.

Shapes: B queries, C candidate rows, K results.
"""

import numpy as np
import tensorflow as tf

from trainer.index.attributes import (
    ALLOW_INPUT,
    PADDING,
    Filters,
    ItemAttributes,
    attribute_filters,
    encode_strings,
    is_any_string,
)
from trainer.index.base import Index, TopK, pad_to_k
from trainer.index.item_ids import ItemIds
from trainer.index.vectors import Read, best, read_rows

NUM_SAMPLED_ITEMS = 2_048
SCAN_BELOW_ITEMS = 20_000
SCANNED_PER_FETCHED = 64
"""Items a filtered scan passes in the time in which a search fetches one more; measured at 100,000 and a million."""


class FilteredSearch(tf.Module):
    """Searches an index under attribute filters and an allow-list."""

    def __init__(
        self, index: Index, item_ids: ItemIds, attributes: ItemAttributes, *, max_candidates: int, seed: int
    ) -> None:
        """Stores the attribute columns and samples the items on which shares are estimated.

        Raises:
            InputError: an attribute does not fit the items.
        """
        super().__init__()
        self._index = index
        self._item_ids = item_ids
        self._filters = attribute_filters(attributes, index.num_items)
        self._max_candidates = min(max_candidates, index.num_items // SCANNED_PER_FETCHED)
        sample_size = min(NUM_SAMPLED_ITEMS, index.num_items)
        sample = np.random.default_rng(seed).choice(index.num_items, sample_size, replace=False)
        self._sample = tf.constant(np.sort(sample), tf.int32)

    def specs(self) -> dict[str, tf.TensorSpec]:
        """Returns the filter inputs by name."""
        specs = {ALLOW_INPUT: tf.TensorSpec([None, None], tf.string, ALLOW_INPUT)}
        for attribute in self._filters:
            specs |= attribute.specs()
        return specs

    def is_given(self, filters: Filters) -> tf.Tensor:
        """Returns `[] bool`: does any query have a filter or an allow-list?"""
        given = [is_any_string(filters.get(ALLOW_INPUT)), *(each.is_given(filters) for each in self._filters)]
        return tf.reduce_any(given)

    def search(self, queries: tf.Tensor, k: tf.Tensor, filters: Filters) -> TopK:
        """Returns the best k items of each query that pass its filters, padded to k.

        Args:
            queries: `[B, dim] float32`.
            k: `[] int32`.
            filters: inputs named as in `specs`, each with first axis B or 1.
        """
        encoded = self._encode(filters, tf.shape(queries)[0])
        has_list = tf.reduce_any(encoded[ALLOW_INPUT] != PADDING, axis=1)
        found = self._score_listed(queries, k, encoded)
        if self._index.is_exact or self._index.num_items < SCAN_BELOW_ITEMS:
            return self._scanned(found, ~has_list, queries, k, encoded)
        num_candidates = self._num_candidates(k, encoded)
        is_broad = ~has_list & (num_candidates <= self._max_candidates)
        found = self._fetched(found, is_broad, queries, k, (num_candidates, encoded))
        is_short = tf.reduce_sum(tf.cast(found.rows >= 0, tf.int32), axis=1) < k
        return self._scanned(found, ~has_list & is_short, queries, k, encoded)

    def admits(self, rows: tf.Tensor, filters: Filters) -> tf.Tensor:
        """Returns `[B, C] bool`: which rows `[B, C] int32` pass the filters; row -1 may be either."""
        encoded = self._encode(filters, tf.shape(rows)[0])
        listed = encoded[ALLOW_INPUT]
        is_open = tf.reduce_all(listed == PADDING, axis=1, keepdims=True)
        return (is_open | is_among(rows, listed)) & self._admits(lambda column: read_rows(column, rows), encoded)

    def _encode(self, filters: Filters, num_queries: tf.Tensor) -> dict[str, tf.Tensor]:
        encoded = {ALLOW_INPUT: encode_strings(self._item_ids, filters.get(ALLOW_INPUT), num_queries)}
        for attribute in self._filters:
            encoded |= attribute.encode(filters, num_queries)
        return encoded

    def _admits(self, read: Read, encoded: Filters) -> tf.Tensor:
        is_admitted = tf.constant([[True]])
        for attribute in self._filters:
            is_admitted &= attribute.admits(read, encoded)
        return is_admitted

    def _num_candidates(self, k: tf.Tensor, encoded: Filters) -> tf.Tensor:
        is_admitted = self._admits(lambda column: read_rows(column, self._sample)[tf.newaxis], encoded)
        share = tf.reduce_mean(tf.cast(is_admitted, tf.float32), axis=1)
        # A share of 0 gives infinitely many; clipped before the cast, which has no infinity.
        wanted = tf.cast(k, tf.float32) * (2.0 - share) / share
        limit = tf.cast(self._max_candidates + 1, tf.float32)
        return tf.cast(tf.math.ceil(tf.where(wanted < limit, wanted, limit)), tf.int32)

    def _score_listed(self, queries: tf.Tensor, k: tf.Tensor, encoded: Filters) -> TopK:
        rows = tf.sort(encoded[ALLOW_INPUT], axis=1)
        is_repeated = tf.pad(rows[:, 1:] == rows[:, :-1], [[0, 0], [1, 0]])[:, : tf.shape(rows)[1]]
        scores = tf.einsum("bd,bcd->bc", queries, self._index.vectors.gather(rows))
        is_listed = (rows >= 0) & ~is_repeated
        is_admitted = is_listed & self._admits(lambda column: read_rows(column, rows), encoded)
        return pad_to_k(*best(tf.where(is_admitted, scores, -float("inf")), rows, k), k)

    def _fetched(
        self, found: TopK, which: tf.Tensor, queries: tf.Tensor, k: tf.Tensor, needs: tuple[tf.Tensor, Filters]
    ) -> TopK:
        chosen = tf.where(which)[:, 0]
        num_candidates, encoded = needs
        num_fetched = tf.reduce_max(tf.pad(tf.gather(num_candidates, chosen), [[0, 1]]))
        candidates = self._index.search(tf.gather(queries, chosen), num_fetched)
        is_admitted = self._admits(lambda column: read_rows(column, candidates.rows), _take(encoded, chosen))
        scores = tf.where(is_admitted, candidates.scores, -float("inf"))
        return _put(found, chosen, pad_to_k(*best(scores, candidates.rows, k), k))

    def _scanned(self, found: TopK, which: tf.Tensor, queries: tf.Tensor, k: tf.Tensor, encoded: Filters) -> TopK:
        chosen = tf.where(which)[:, 0]
        needed = _take(encoded, chosen)
        scanned = self._index.scan(tf.gather(queries, chosen), k, lambda read: self._admits(read, needed))
        return _put(found, chosen, scanned)


def is_among(rows: tf.Tensor, listed: tf.Tensor) -> tf.Tensor:
    """Returns `[B, C] bool`: which rows `[B, C] int32` are listed, `[B, e]` or `[1, e] int32`.

    Sorts the lists, so memory stays at C + e, not C times e.
    """
    num_queries = tf.shape(rows)[0]
    listed = tf.broadcast_to(tf.sort(listed, axis=1), [num_queries, tf.shape(listed)[1]])
    listed = tf.pad(listed, [[0, 0], [0, 1]], constant_values=tf.int32.max)
    # TensorFlow cannot search for nothing on behalf of no query, so there is always one row that nobody asks for.
    asked = tf.pad(rows, [[0, 0], [0, 1]], constant_values=-1)
    positions = tf.searchsorted(listed, asked)[:, :-1]
    return tf.gather(listed, positions, batch_dims=1) == rows


def _take(encoded: Filters, chosen: tf.Tensor) -> Filters:
    return {name: tf.gather(value, chosen) for name, value in encoded.items()}


def _put(found: TopK, chosen: tf.Tensor, better: TopK) -> TopK:
    where = chosen[:, tf.newaxis]
    return TopK(*(tf.tensor_scatter_nd_update(old, where, new) for old, new in zip(found, better, strict=True)))
