"""Candidates that are kept for new items: those without training events, which retrieval alone would hardly bring.

Who gets these places is decided by retrieval's score and by how often an item was taken so far. The log of
that count is added to the logits: of two items that suit a query as well, the one that sells twice as much has twice
the chance.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.cascade.counts import ITEM_COLUMNS, RefreshedCounts
from trainer.cascade.features import CandidateFeatures
from trainer.data.events import Float32, Int32, Int64
from trainer.index.filtering import is_among
from trainer.metrics.protocol import Bool, Ragged
from trainer.metrics.top_k import Rankings, rank_by_inner_product
from trainer.reranking.new_items import reserve_places

LOG_EVENTS = ITEM_COLUMNS[0]
"""The item column that is added to the logits. The events of an item that came since the training are all counted; one
that `min_count` left out of the vocabulary has earlier events too."""


class Candidates(NamedTuple):
    """The candidate items of each query, with their retrieval scores."""

    rows: tf.Tensor | Int32
    """`[lists, C] int32`: rows of the catalogue, best first, -1 for padding."""
    scores: tf.Tensor | Float32
    """`[lists, C] float32`: of retrieval; -inf for padding."""
    is_reserved: tf.Tensor | Bool
    """`[lists, C] bool`: items at the end that are there for being new alone."""


def with_new_items(found: Candidates, new: Candidates) -> Candidates:
    """Puts new items into the last places of the candidates, unless they are among the candidates already.

    Args:
        found: `[lists, C]`.
        new: `[lists, n]`: New items that have to be among them, best first.
    """
    is_held = is_among(found.rows, new.rows) & (found.rows >= 0)
    reserved = reserve_places(found.rows, is_held, new.rows, tf.fill(tf.shape(new.rows)[:1], tf.shape(new.rows)[1]))
    rows, scores = (tf.concat(pair, axis=1) for pair in zip(found[:2], new[:2], strict=True))
    return Candidates(
        rows=tf.gather(rows, reserved.places, batch_dims=1),
        scores=tf.gather(scores, reserved.places, batch_dims=1),
        is_reserved=reserved.is_explored,
    )


class Popularity(NamedTuple):
    """Log counts of the events of items, as of the queries."""

    log_counts: Float32
    """`[moments, n]`: of each item at each moment that matters."""
    moment_of: Int64
    """`[queries]`: which moment is a query's."""


def popularity_of(
    features: CandidateFeatures, refreshed: RefreshedCounts | None, rows: Int64, asked_at: Int64
) -> Popularity:
    """How often some items were taken, as of each query.

    Args:
        features: Hold the counts as of one moment, for all queries.
        refreshed: Counts as of the last refresh before each query; None for those that the features hold.
        rows: `[n]`: rows of the catalogue.
        asked_at: `[queries]`: seconds since 1970-01-01 UTC.
    """
    if refreshed is None:
        counts = features.columns()[LOG_EVENTS][rows]
        return Popularity(counts[None], np.zeros(len(asked_at), np.int64))
    return Popularity(*refreshed.log_events(rows, asked_at))


class Vectors(NamedTuple):
    """Of queries and items."""

    queries: Float32
    """`[queries, d]`."""
    items: Float32
    """`[items, d]`."""
    temperature: float
    """Of the scores."""


def best_new_items(vectors: Vectors, rows: Int64, popularity: Popularity, k: int, seen: Ragged | None) -> Candidates:
    """The best k of the new items for each query, by logits and log counts; by one moment after the other.

    Args:
        vectors: Of queries and items.
        rows: `[n]`, ascending: rows of new items, at least one.
        popularity: How often these items were taken.
        k: New items of each query at most.
        seen: Rows of the catalogue that are left out.

    Returns:
        `[queries, k]`, with retrieval's scores.
    """
    log_counts, moment_of = popularity
    among = None if seen is None else seen.among(rows)
    found = np.full((len(moment_of), k), -1, np.int64)
    scores = np.full((len(moment_of), k), -np.inf, np.float32)
    for moment, log_count in enumerate(log_counts):
        asked = np.flatnonzero(moment_of == moment)
        added = vectors.temperature * log_count
        ranked = _ranked(vectors, asked, rows, added, k, None if among is None else among.take(asked))
        is_item = ranked.item_rows >= 0
        found[asked] = np.where(is_item, rows[ranked.item_rows], -1)
        scores[asked] = np.where(is_item, ranked.scores - added[ranked.item_rows], -np.inf)
    return Candidates(found.astype(np.int32), scores, np.ones(found.shape, bool))


def _ranked(
    vectors: Vectors, asked: Int64, rows: Int64, added: npt.NDArray[np.float32], k: int, seen: Ragged | None
) -> Rankings:
    """Ranks by the inner product plus what is added to each item, as one more component."""
    queries = np.column_stack([vectors.queries[asked], np.ones(len(asked), np.float32)])
    items = np.column_stack([vectors.items[rows], added.astype(np.float32)])
    return rank_by_inner_product(queries, items, k, seen=seen)
