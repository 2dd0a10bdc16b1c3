"""`recommender`: the cascade in one call. Retrieve, leave out what is known or excluded, rank, re-rank, cut."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.config.export import MOST_EXPLAINED, ExportConfig
from trainer.export.adjustments import Adjustments
from trainer.export.earlier_items import EarlierItems
from trainer.export.explanations import Answer, explain_answer
from trainer.export.new_items import Asked, NewItems
from trainer.export.orders import Found, Order
from trainer.export.query import HistoryEntries, StoredHistories
from trainer.export.servables import EXCLUSIONS, RetrievalServable, checked_count
from trainer.export.signatures import Input, Outputs, make_signature
from trainer.index.base import TopK
from trainer.reranking.caps import Cap
from trainer.reranking.greedy import Ranked, Reranking

EXCLUDE_SEEN = "exclude_seen"
DIVERSITY = "diversity"
NEW_ITEM_SHARE = "new_item_share"
IS_EXPLORED = "is_explored"


@dataclass(frozen=True, kw_only=True)
class ListRules:
    """What decides about the places of a list beside its order."""

    new_items: NewItems
    """Get a share of the places."""
    caps: Sequence[Cap] = ()
    """Of the re-ranking."""
    earlier: EarlierItems | None = None
    """Items of events older than the stored histories, by user: `exclude_seen` leaves them out too."""


class RecommenderServable(tf.Module):
    """The first stage, an order of what it finds, and the best of it, re-ranked for diversity on request."""

    def __init__(
        self,
        retrieval: RetrievalServable,
        order: Order,
        config: ExportConfig,
        rules: ListRules,
        *,
        exclude_seen: bool,
        histories: StoredHistories | None = None,
    ) -> None:
        """Puts the stages together.

        Args:
            retrieval: The first stage.
            order: The second stage.
            config: How many items are retrieved, how many are returned where a request does not say it, and how they
                are re-ranked.
            rules: What decides about places beside the order.
            exclude_seen: Whether items of the history are left out where a request does not say.
            histories: Known histories of the second stage, if they are longer than those of the first.
        """
        super().__init__(name="recommender")
        self.retrieval, self.order = retrieval, order
        self._candidates, self._limit = config.recommender_candidates, config.recommender_limit
        self._exclude_seen, self._diversity = exclude_seen, config.reranker.diversity
        self.new_items, self._new_item_share = rules.new_items, config.new_item_share
        self.earlier = rules.earlier
        self.adjustments = Adjustments(retrieval.retriever, config)
        self.reranking = Reranking(config.reranker, rules.caps, most=self._candidates)
        self._history_entries = HistoryEntries(
            retrieval.query, retrieval.retriever.item_ids, with_times=order.reads_times, histories=histories
        )

    def signatures(self) -> dict[str, Any]:
        """`serving_default`: query features and optional inputs to ids, scores and which items were explored.

        Optional are the restrictions of `retrieve`, what `trainer.export.adjustments` names, `limit`, `exclude_seen`,
        and `diversity` and `new_item_share`, `[batch]` or `[1] float32` from 0 to 1, NaN for what is configured.
        `is_explored [batch, limit] bool` tells the items that are there for their share of the places alone.

        `explain` has the same inputs and outputs, with `limit` up to 100, and tells on top why the items have their
        scores, see `trainer.export.explanations`.
        """
        choices = {
            "limit": Input(spec=tf.TensorSpec([], tf.int32), default=tf.constant(self._limit)),
            EXCLUDE_SEEN: Input(spec=tf.TensorSpec([], tf.bool), default=tf.constant(self._exclude_seen)),
            DIVERSITY: Input(spec=tf.TensorSpec([None], tf.float32), default=tf.constant([math.nan])),
            NEW_ITEM_SHARE: Input(spec=tf.TensorSpec([None], tf.float32), default=tf.constant([math.nan])),
        }
        optional = self.retrieval.restrictions() | self.adjustments.inputs() | choices
        inputs = self.retrieval.query.inputs() | optional
        return {
            "serving_default": make_signature(self._recommend, inputs),
            "explain": make_signature(self._explain, inputs),
        }

    def _recommend(self, request: Tensors) -> Outputs:
        return self._outputs(self._answer(request))

    def _explain(self, request: Tensors) -> Outputs:
        limit = checked_count("limit", request["limit"], MOST_EXPLAINED)
        answer = self._answer(request | {"limit": limit})
        explained = explain_answer(self.order, answer, self.retrieval.retriever.item_ids)
        return {**self._outputs(answer), **explained}

    def _outputs(self, answer: Answer) -> Outputs:
        return {
            "item_ids": self.retrieval.retriever.item_ids.ids(answer.chosen.rows),
            "scores": answer.chosen.scores,
            IS_EXPLORED: answer.is_explored,
        }

    def _answer(self, request: Tensors) -> Answer:
        retrieval, retriever = self.retrieval, self.retrieval.retriever
        limit = checked_count("limit", request["limit"], retrieval.most_items)
        query = retrieval.query.encode(request, retrieval.encoder)
        entries = self._history_entries(request, query)
        history = entries.rows
        asked = Asked(
            queries=retrieval.embed_query(query),
            excluded=self._excluded(request, query, history),
            filters=retrieval.filters(request),
            users=self._users(request, tf.shape(history)[0]),
            history=history,
        )
        top = retriever.search(
            asked.queries,
            tf.maximum(limit + self.new_items.num_kept, self._candidates),
            asked.excluded,
            asked.filters,
            retrieval.bonus(request, query),
        )
        top = self.new_items.with_candidates(top, asked)
        found = Found(
            query=query,
            history=history,
            rows=top.rows,
            scores=top.scores,
            history_times=entries.times,
            asked_at=retrieval.query.asked_at(request),
        )
        adjustments = self.adjustments(request, top.rows)
        adjusted = self.order.log_chances(found) + adjustments
        log_chances = tf.where(tf.math.is_finite(top.scores), adjusted, -float("inf"))
        ranked = TopK(rows=top.rows, scores=log_chances)
        batch = tf.shape(history)[0]
        places = self._places(ranked, self._asked_share(request, DIVERSITY, self._diversity, batch), limit)
        best = tf.gather(log_chances, places, batch_dims=1)
        # Padding keeps its score of -inf; a chance too small for float32 is 0, but in its place.
        scores = tf.where(tf.math.is_finite(best), tf.exp(best), -float("inf"))
        chosen = TopK(rows=tf.gather(top.rows, places, batch_dims=1), scores=scores)
        share = self._asked_share(request, NEW_ITEM_SHARE, self._new_item_share, batch)
        chosen, is_explored = self._explored(chosen, top, ranked, share, asked)
        return Answer(
            found=found,
            adjustments=adjustments,
            chosen=chosen,
            is_explored=is_explored,
            is_unranked=is_explored & ~self.new_items.are_ranked(chosen.rows, top),
        )

    def _users(self, request: Tensors, batch: tf.Tensor) -> tf.Tensor:
        """`[batch] string`: the users' ids; empty where queries do not name their user."""
        query = self.retrieval.query
        return request[query.required] if query.required == query.schema.user_id else tf.fill([batch], "")

    def _explored(
        self, best: TopK, found: TopK, ranked: TopK, share: tf.Tensor, asked: Asked
    ) -> tuple[TopK, tf.Tensor]:
        """The lists with the places of new items; most requests ask for none and are spared their search."""

        def reserve() -> tuple[tf.Tensor, ...]:
            chosen, is_explored = self.new_items.reserve(best, found, ranked, share, asked)
            return *chosen, is_explored

        *chosen, is_explored = tf.cond(
            tf.reduce_any(share > 0.0), reserve, lambda: (*best, tf.zeros(tf.shape(best.rows), tf.bool))
        )
        return TopK(*chosen), is_explored

    def _asked_share(self, request: Tensors, name: str, configured: float, batch: tf.Tensor) -> tf.Tensor:
        """`[batch] float32`: what the request asks for, from 0 to 1, or what is configured."""
        asked = request[name]
        share = tf.where(tf.math.is_nan(asked), configured, asked)
        is_share = tf.reduce_all((share >= 0.0) & (share <= 1.0))
        with tf.control_dependencies([tf.debugging.Assert(is_share, [f"{name} must be from 0 to 1:", asked])]):
            return tf.broadcast_to(share, [batch])

    def _places(self, ranked: TopK, strength: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
        """`[batch, limit] int32`: the places of the items to return, best first."""
        if self.reranking.caps:
            return self._reranked(ranked, strength, limit)
        # Without diversity nothing is re-ranked, so the answer is the same to the bit.
        return tf.cond(
            tf.reduce_any(strength > 0.0),
            lambda: self._reranked(ranked, strength, limit),
            lambda: tf.math.top_k(ranked.scores, k=limit).indices,
        )

    def _reranked(self, ranked: TopK, strength: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
        """The best candidates re-ranked; of those that a large `limit` asks for besides, the second stage's order."""
        size = self._candidates
        scores, places = tf.math.top_k(ranked.scores, k=tf.shape(ranked.scores)[1])
        rows = tf.gather(ranked.rows, places[:, :size], batch_dims=1)
        candidates = Ranked(
            scores=scores[:, :size], rows=rows, vectors=self.retrieval.retriever.index.vectors.gather(rows)
        )
        chosen = self.reranking(candidates, strength, tf.minimum(limit, size))
        first = tf.gather(places, chosen, batch_dims=1)
        return tf.concat([first, places[:, size : tf.maximum(limit, size)]], axis=1)

    def _excluded(self, request: Tensors, query: Tensors, history: tf.Tensor) -> tf.Tensor:
        """Rows `[batch, e] int32` that are excluded by id or, if so wished, because the user had them; -1: none."""
        named = self.retrieval.retriever.item_ids.numbers(request[EXCLUSIONS])
        named = tf.broadcast_to(named, [tf.shape(history)[0], tf.shape(named)[1]])
        had = tf.cond(request[EXCLUDE_SEEN], lambda: self._had(request, query, history), lambda: history[:, :0])
        return tf.concat([named, had], axis=1)

    def _had(self, request: Tensors, query: Tensors, history: tf.Tensor) -> tf.Tensor:
        """Rows `[batch, e] int32` of what the users had; -1: none."""
        if self.earlier is None:
            return history
        # A history that is sent stands for all of the known one.
        is_sent = tf.reduce_any(self.retrieval.query.sent_history(request) != "", axis=1, keepdims=True)
        earlier = self.earlier(query[self.retrieval.query.schema.user_id])
        return tf.concat([history, tf.where(is_sent, -1, earlier)], axis=1)
