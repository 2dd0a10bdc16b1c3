"""Item ids, exclusions and filters over an index: what a serving signature calls."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from features.errors import InputError
from trainer.config.index import IndexConfig
from trainer.index.attributes import Filters, ItemAttributes, is_any_string
from trainer.index.base import Index, TopK, pad_to_k
from trainer.index.filtering import FilteredSearch, is_among
from trainer.index.item_ids import ItemIds
from trainer.index.vectors import best


class Retrieved(NamedTuple):
    """The items of each query, best first; what is missing at the end is id `""` with score -inf."""

    item_ids: tf.Tensor
    """`[batch, k] string`."""

    scores: tf.Tensor
    """`[batch, k] float32`, dot products and what was added to them."""


class ItemBonus(NamedTuple):
    """What some items of each query get on top of their dot product."""

    rows: tf.Tensor
    """`[batch, a] int32`: rows of the index, none twice in a query; -1 for none."""

    scores: tf.Tensor
    """`[batch, a] float32`, at least 0."""


class Retriever(tf.Module):
    """Answers "k items for these queries, but not those, and only such" by item ids, inside a graph.

        >>> from trainer.index.exact import ExactIndex
        >>> retriever = Retriever(ExactIndex(tf.eye(3).numpy()), [b"a", b"b", b"c"])
        >>> found = retriever.retrieve(tf.constant([[0.1, 0.2, 0.3]]), tf.constant(2), tf.constant([["c"]]))
        >>> found.item_ids.numpy().tolist()
        [[b'b', b'a']]

    No item is returned twice. Fewer than k admissible items are padded at the end by id `""` and score -inf.
    """

    def __init__(
        self,
        index: Index,
        item_ids: Sequence[bytes],
        attributes: ItemAttributes | None = None,
        *,
        max_filtered_candidates: int = IndexConfig.max_filtered_candidates,
        seed: int = 0,
    ) -> None:
        """Ties ids and attributes to the rows of an index.

        Args:
            index: the index.
            item_ids: the id of each indexed embedding, in order.
            attributes: what items can be filtered by, in the same order; without it only by an allow-list.
            max_filtered_candidates: see `IndexConfig`.
            seed: Seed of the sample of items on which the share a filter lets through is estimated.

        Raises:
            InputError: the number of ids is not the number of items, an id is empty or occurs twice, an attribute
                does not fit.
        """
        super().__init__()
        if len(item_ids) != index.num_items:
            raise InputError(f"{len(item_ids)} item ids for an index of {index.num_items} items: expected one an item")
        self.index = index
        self.item_ids = ItemIds(item_ids)
        self._filtered = FilteredSearch(
            index, self.item_ids, attributes or ItemAttributes(), max_candidates=max_filtered_candidates, seed=seed
        )

    def filter_specs(self) -> dict[str, tf.TensorSpec]:
        """Returns the filter inputs that `retrieve` understands, by name; see `trainer.index.attributes`."""
        return self._filtered.specs()

    def admits(self, rows: tf.Tensor, filters: Filters) -> tf.Tensor:
        """Returns `[batch, c] bool`: which rows `[batch, c] int32` pass the filters; row -1 may be either."""
        return self._filtered.admits(rows, filters)

    def retrieve(
        self,
        query_embeddings: tf.Tensor,
        k: tf.Tensor,
        exclude_item_ids: tf.Tensor | None = None,
        filters: Filters | None = None,
        added: ItemBonus | None = None,
    ) -> Retrieved:
        """Returns the best k admissible items of each query.

        Args:
            query_embeddings: `[batch, dim] float32`.
            k: `[] int32`, at least 0.
            exclude_item_ids: `[batch, e] string`, or `[1, e]` for the whole batch, items not to return; `""` and
                unknown ids exclude nothing. None builds a graph without exclusions.
            filters: inputs named as in `filter_specs`, any of them; what is empty filters nothing. None builds a graph
                without filters.
            added: to the scores of some items; None builds a graph without it.

        Returns:
            `[batch, k]` item ids and scores.

        Raises:
            InputError: a filter is not one of `filter_specs`.
        """
        if added is not None:
            numbers = tf.constant([[-1]]) if exclude_item_ids is None else self.item_ids.numbers(exclude_item_ids)
            found = self.search(query_embeddings, k, numbers, filters, added)
        elif exclude_item_ids is None:
            found = self._search(query_embeddings, k, filters)
        else:
            exclusions = exclude_item_ids
            # Most requests exclude nothing: they are spared what exclusions cost, by one condition for all of it.
            chosen = tf.cond(
                is_any_string(exclusions) | self._is_filtered(filters),
                lambda: tuple(self.search(query_embeddings, k, self.item_ids.numbers(exclusions), filters)),
                lambda: tuple(self.index.search(query_embeddings, k)),
            )
            found = TopK(*chosen)
        return Retrieved(item_ids=self.item_ids.ids(found.rows), scores=found.scores)

    def search(
        self,
        queries: tf.Tensor,
        k: tf.Tensor,
        excluded: tf.Tensor,
        filters: Filters | None = None,
        added: ItemBonus | None = None,
    ) -> TopK:
        """As `retrieve`, by rows.

        Args:
            queries: `[batch, dim] float32`.
            k: `[] int32`, at least 0.
            excluded: `[batch, e]` or `[1, e] int32`, rows not to return; -1 excludes nothing.
            filters: as in `retrieve`.
            added: as in `retrieve`.
        """
        count = k + _most_excluded(excluded)
        found = self._search(queries, count, filters)
        if added is not None:
            found = self._with_added(found, queries, count, filters, added)
        return without(found, excluded, k)

    def search_among(
        self,
        queries: tf.Tensor,
        rows: tf.Tensor,
        k: tf.Tensor,
        excluded: tf.Tensor,
        filters: Filters | None = None,
        *,
        added: tf.Tensor | None = None,
    ) -> TopK:
        """Returns the best k admissible ones of a few items, scored exactly.

        Args:
            queries: `[batch, dim] float32`.
            rows: `[n] int32`, distinct rows of the index.
            k: `[] int32`, at least 0.
            excluded: as in `search`.
            filters: as in `retrieve`.
            added: `[n] float32`: added to the items' scores, for every query; None adds nothing.
        """
        scores = tf.matmul(queries, self.index.vectors.gather(rows), transpose_b=True)
        if added is not None:
            scores += added
        rows = tf.broadcast_to(rows, tf.shape(scores))
        if filters:
            scores = tf.cond(
                self._is_filtered(filters),
                lambda: tf.where(self._filtered.admits(rows, filters), scores, -float("inf")),
                lambda: scores,
            )
        return without(TopK(scores=scores, rows=rows), excluded, k)

    def _with_added(
        self, found: TopK, queries: tf.Tensor, k: tf.Tensor, filters: Filters | None, added: ItemBonus
    ) -> TopK:
        """Scores the items that get something in place of what was found of them.

        No more than k have to be found: an item that gets nothing and is among the best k in the end is so before.
        """
        products = tf.einsum("bd,bad->ba", queries, self.index.vectors.gather(added.rows))
        is_admitted = added.rows >= 0
        if filters:
            is_admitted &= self._filtered.admits(added.rows, filters)
        scores = tf.where(is_admitted, products + added.scores, -float("inf"))
        others = tf.where(is_among(found.rows, added.rows), -float("inf"), found.scores)
        rows = tf.concat([added.rows, found.rows], axis=1)
        return pad_to_k(*best(tf.concat([scores, others], axis=1), rows, k), k)

    def _is_filtered(self, filters: Filters | None) -> tf.Tensor:
        if not filters:
            return tf.constant(False)
        if unknown := set(filters) - set(self.filter_specs()):
            raise InputError(f"filters {sorted(unknown)} are unknown: expected some of {sorted(self.filter_specs())}")
        return self._filtered.is_given(filters)

    def _search(self, queries: tf.Tensor, k: tf.Tensor, filters: Filters | None) -> TopK:
        if not filters:
            return self.index.search(queries, k)
        found = tf.cond(
            self._is_filtered(filters),
            lambda: tuple(self._filtered.search(queries, k, filters)),
            lambda: tuple(self.index.search(queries, k)),
        )
        return TopK(*found)


def without(found: TopK, excluded: tf.Tensor, k: tf.Tensor) -> TopK:
    """Returns the best k of what was found that is not excluded.

    Args:
        found: `[batch, c]` scores and rows.
        excluded: `[batch, e]` or `[1, e] int32` rows; -1 excludes nothing.
        k: `[] int32`.
    """
    return pad_to_k(*best(tf.where(is_among(found.rows, excluded), -float("inf"), found.scores), found.rows, k), k)


def _most_excluded(excluded: tf.Tensor) -> tf.Tensor:
    """Returns how many items the longest exclusion list names, 0 for an empty batch: so many more are fetched."""
    return tf.reduce_max(tf.pad(tf.reduce_sum(tf.cast(excluded >= 0, tf.int32), axis=1), [[0, 1]]))
