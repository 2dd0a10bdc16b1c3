"""Places of the recommender's lists for items without training events.

Shapes: B queries, L places of a list.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.cascade.new_candidates import Candidates, with_new_items
from trainer.index.base import TopK
from trainer.index.filtered_retriever import Retriever
from trainer.index.filtering import is_among
from trainer.index.vectors import read_rows
from trainer.reranking.new_items import num_places, reserve_places


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What retrieval was asked for."""

    queries: tf.Tensor
    """`[B, d] float32`."""
    excluded: tf.Tensor
    """`[B, e] int32`: rows not to return, -1 for none."""
    filters: Tensors
    users: tf.Tensor
    """`[B] string`: whose lists these are; empty where requests do not tell."""
    history: tf.Tensor
    """`[B, h] int32`: rows of the history's items."""

    def keys(self) -> tf.Tensor:
        """`[B] string`: equal for equal users and histories; decides how a broken number of places is rounded."""
        rows = tf.strings.reduce_join(tf.strings.as_string(self.history), axis=1, separator=",")
        return tf.strings.join([self.users, rows], separator=" ")


@dataclass(frozen=True, kw_only=True)
class KeptCandidates:
    """Candidates of a list ranker that are kept for new items."""

    number: int
    """Of each query."""
    log_events: npt.NDArray[np.float32]
    """`[items]`: log counts that decide who gets them, beside retrieval's score: `trainer.cascade.new_candidates`."""


class NewItems(tf.Module):
    """Finds new items by retrieval's score and puts them at the end of candidates and lists."""

    def __init__(
        self,
        retriever: Retriever,
        is_new: npt.NDArray[np.bool_],
        temperature: float,
        kept: KeptCandidates | None = None,
    ) -> None:
        """Stores which items are new.

        Args:
            retriever: Scores them.
            is_new: `[items]`, in the order of the index.
            temperature: Of retrieval's scores.
            kept: Candidates that are kept for them; None for none.
        """
        super().__init__(name="new_items")
        self._retriever, self._temperature = retriever, temperature
        self._is_new = tf.Variable(is_new, trainable=False, name="is_new")
        self._rows = tf.Variable(np.flatnonzero(is_new).astype(np.int32), trainable=False, name="rows")
        self.num_kept = kept.number if kept is not None and is_new.any() else 0
        if kept is not None and self.num_kept:
            added = temperature * kept.log_events
            self._added = tf.Variable(added.astype(np.float32), trainable=False, name="added")

    def are_among(self, rows: tf.Tensor) -> tf.Tensor:
        """`[B, L] bool`: which rows `[B, L] int32` are new items."""
        return (rows >= 0) & read_rows(self._is_new, rows)

    def with_candidates(self, found: TopK, asked: Asked) -> TopK:
        """What is ranked, `[B, c]`: what retrieval found, the last places of it kept for new items if so configured."""
        if not self.num_kept:
            return found
        rows = self._rows.value()
        new = self._retriever.search_among(
            asked.queries,
            rows,
            tf.constant(self.num_kept),
            asked.excluded,
            asked.filters,
            added=tf.gather(self._added, rows),
        )
        # Padding has row -1 and score -inf.
        scores = new.scores - tf.gather(self._added, tf.maximum(new.rows, 0))
        kept = with_new_items(
            Candidates(found.rows, found.scores, tf.zeros_like(found.rows, tf.bool)),
            Candidates(new.rows, scores, tf.ones_like(new.rows, tf.bool)),
        )
        return TopK(scores=kept.scores, rows=kept.rows)

    def reserve(self, best: TopK, found: TopK, ranked: TopK, share: tf.Tensor, asked: Asked) -> tuple[TopK, tf.Tensor]:
        """Gives new items their share of the places.

        Where candidates are kept for new items, these come first, in the order in which they are ranked.

        Args:
            best: `[B, L]`: The lists, scored by chances.
            found: `[B, c]`: What retrieval found.
            ranked: `[B, c]`: The same rows with their log chances, -inf for padding.
            share: `[B] float32`.
            asked: What it was asked for.

        Returns:
            The lists, and `[B, L] bool`: which places new items got by the reservation. An item for which
            `are_ranked` holds has its chance among `ranked`; that of the others is retrieval's alone: their share in
            the softmax over what was found.
        """
        length = tf.shape(best.rows)[1]
        new = self._retriever.search_among(asked.queries, self._rows.value(), length, asked.excluded, asked.filters)
        total = tf.reduce_logsumexp(found.scores / self._temperature, axis=1, keepdims=True)
        # Where nothing was found, the sum is 0 and its log -inf.
        chances = tf.exp(new.scores / self._temperature - tf.where(tf.math.is_finite(total), total, 0.0))
        new = TopK(rows=new.rows, scores=tf.where(tf.math.is_finite(new.scores), chances, -float("inf")))
        if self.num_kept:
            new = self._ranked_first(ranked, new)
        places = num_places(share, length, asked.keys())
        reserved = reserve_places(best.rows, self.are_among(best.rows), new.rows, places)
        rows, scores = tf.concat([best.rows, new.rows], axis=1), tf.concat([best.scores, new.scores], axis=1)
        chosen = TopK(*(tf.gather(values, reserved.places, batch_dims=1) for values in (scores, rows)))
        return chosen, reserved.is_explored

    def are_ranked(self, rows: tf.Tensor, found: TopK) -> tf.Tensor:
        """`[B, L] bool`: which rows `[B, L] int32` `reserve` scores as the candidates are: only where some are kept."""
        return is_among(rows, found.rows) if self.num_kept else tf.zeros(tf.shape(rows), tf.bool)

    def _ranked_first(self, ranked: TopK, new: TopK) -> TopK:
        """New items among the candidates by their log chances, then the others, `[B, L]`; scored by chances."""
        length = tf.minimum(tf.shape(new.rows)[1], tf.shape(ranked.rows)[1])
        log_chances = tf.where(self.are_among(ranked.rows), ranked.scores, -float("inf"))
        log_chances, places = tf.math.top_k(log_chances, k=length)
        is_item = tf.math.is_finite(log_chances)
        first = tf.where(is_item, tf.gather(ranked.rows, places, batch_dims=1), -1)
        scores = tf.where(is_item, tf.exp(log_chances), -float("inf"))
        others = tf.where(is_among(new.rows, ranked.rows), -1, new.rows)
        return TopK(rows=tf.concat([first, others], axis=1), scores=tf.concat([scores, new.scores], axis=1))
