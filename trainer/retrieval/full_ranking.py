"""The catalogue ranked by a two-tower model, exactly: inner products, and what the histories' own items get on top."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from features.encoding.encoder import Tensors
from features.schema import Schema
from trainer.data.batches import gather_query
from trainer.data.catalogue import EncodedCatalogue
from trainer.data.events import HISTORY_AGES, HISTORY_ROWS, EncodedEvents, Int64
from trainer.metrics.protocol import Float, Ragged
from trainer.metrics.top_k import Rankings, rank_by_inner_product
from trainer.retrieval.two_towers import TwoTowers

# Queries of one pass of the encoder, and places of their histories: a transformer takes some kilobytes for each place.
_QUERIES_A_BLOCK, _PLACES_A_BLOCK = 1024, 1024 * 50


class QueryBlock(NamedTuple):
    """Some of the queries that are asked."""

    places: Int64
    """`[n]`, of each among all that are asked."""
    query: Tensors
    """Encoded features by name, each `[n, ...]`."""


def query_blocks(events: EncodedEvents, schema: Schema, indices: Int64) -> Iterator[QueryBlock]:
    """The encoded queries at some events, `[n] int64`, in blocks; each sees what happened strictly before it.

    Queries with histories of like length share a block, which is as wide as its longest: most histories are short, and
    an encoder takes as long for padding as for items.
    """
    gather = gather_query(events, schema, with_entries=True)
    lengths = events.history_end[indices] - events.history_start[indices]
    by_length = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(indices):
        places = by_length[start : start + _QUERIES_A_BLOCK]
        width_up_to = np.minimum(lengths[places], schema.history.length if schema.history else 0)
        fitting = int((np.arange(1, len(places) + 1) * width_up_to <= _PLACES_A_BLOCK).sum())
        places = places[: max(1, fitting)]
        start += len(places)
        width = max(1, int(lengths[places[-1]]))
        yield QueryBlock(places, _narrowed(gather(tf.constant(indices[places])), schema, width))


def _narrowed(query: Tensors, schema: Schema, width: int) -> Tensors:
    """Histories, and all that goes with their entries, without what lies beyond `width`: padding is at the end."""
    if schema.history is None:
        return query
    entries = {schema.history.name, HISTORY_ROWS, HISTORY_AGES, *(each.name for each in schema.history_companions)}
    return {name: values[:, :width] if name in entries else values for name, values in query.items()}


def embed_queries(
    towers: TwoTowers, queries: Iterable[QueryBlock], num_items: int
) -> tuple[Float, sp.csr_array | None]:
    """Vectors, and what the histories add to the scores of their own items.

    Args:
        towers: embed them.
        queries: at least one block.
        num_items: Number of items of the catalogue that the queries' history rows refer to.

    Returns:
        `[queries, d] float32` and `[queries, num_items] float32`, in the order in which they were asked; None where
        nothing is ever added.
    """
    places, vectors, added = [], [], []
    for block in queries:
        places.append(block.places)
        vectors.append(towers.query_tower(block.query).numpy())
        if (repeats := towers.repeats(block.query)) is not None:
            pairs = (repeats.query.numpy(), repeats.rows.numpy())
            shape = (len(block.places), num_items)
            added.append(sp.csr_array((repeats.scores.numpy(), pairs), shape=shape, dtype=np.float32))
    order = np.argsort(np.concatenate(places))
    return np.concatenate(vectors)[order], sp.vstack(added, "csr")[order] if added else None


def rank_by_model(
    towers: TwoTowers,
    candidates: EncodedCatalogue,
    queries: Iterable[QueryBlock],
    k: int,
    *,
    seen: Ragged | None = None,
) -> Rankings:
    """The best k items of the catalogue for each query.

    Args:
        towers: score them.
        candidates: the catalogue that the queries' history rows refer to.
        queries: in blocks, as `query_blocks` makes them; at least one.
        k: items to return for each query.
        seen: item rows to leave out of each query's ranking; None ranks all.

    Raises:
        ValueError: if a vector, or what is added, holds a NaN or an infinity.
    """
    vectors, added = embed_queries(towers, queries, len(candidates))
    return rank_by_inner_product(vectors, towers.embed_candidates(candidates).numpy(), k, seen=seen, added=added)


def rank_some(
    towers: TwoTowers,
    candidates: EncodedCatalogue,
    queries: Iterable[QueryBlock],
    rows: Int64,
    k: int,
    *,
    seen: Ragged | None = None,
) -> Int64:
    """The best k of a few items for each query, by inner products alone.

    Args:
        towers: score them.
        candidates: the catalogue.
        queries: in blocks; at least one.
        rows: `[n]`, ascending: rows of the catalogue, at least one.
        k: items to return for each query.
        seen: as in `rank_by_model`.

    Returns:
        `[queries, k]`: rows of the catalogue, best first; -1 where there are fewer.
    """
    vectors, _ = embed_queries(towers, queries, len(candidates))
    items = towers.embed_candidates(candidates).numpy()[rows]
    found = rank_by_inner_product(vectors, items, k, seen=None if seen is None else seen.among(rows)).item_rows
    best: Int64 = np.where(found >= 0, rows[found], -1)
    return best
