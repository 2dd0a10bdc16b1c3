"""`recommender`: the cascade in one call. Retrieve, leave out what is known or excluded, rank, cut."""

from typing import Any

import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.config.export import ExportConfig
from trainer.export.orders import Found, Order
from trainer.export.query import HistoryEntries, UserHistories
from trainer.export.servables import EXCLUSIONS, RetrievalServable, checked_count
from trainer.export.signatures import Input, Outputs, make_signature

EXCLUDE_SEEN = "exclude_seen"


class RecommenderServable(tf.Module):
    """The first stage, an order of what it finds, and the best of it."""

    def __init__(
        self,
        retrieval: RetrievalServable,
        order: Order,
        config: ExportConfig,
        *,
        exclude_seen: bool,
        histories: UserHistories | None = None,
    ) -> None:
        """Puts the stages together.

        Args:
            retrieval: The first stage.
            order: The second stage.
            config: How many items are retrieved, and returned where a request does not say how many.
            exclude_seen: Whether items of the history are left out where a request does not say.
            histories: Known histories of the second stage, if they are longer than those of the first.
        """
        super().__init__(name="recommender")
        self.retrieval, self.order = retrieval, order
        self._candidates, self._limit = config.recommender_candidates, config.recommender_limit
        self._exclude_seen = exclude_seen
        self._history_entries = HistoryEntries(
            retrieval.query, retrieval.retriever.item_ids, with_ages=False, histories=histories
        )

    def signatures(self) -> dict[str, Any]:
        """`serving_default`: query features, optional restrictions, `limit` and `exclude_seen` to ids and scores."""
        choices = {
            "limit": Input(spec=tf.TensorSpec([], tf.int32), default=tf.constant(self._limit)),
            EXCLUDE_SEEN: Input(spec=tf.TensorSpec([], tf.bool), default=tf.constant(self._exclude_seen)),
        }
        inputs = self.retrieval.query.inputs() | self.retrieval.restrictions() | choices
        return {"serving_default": make_signature(self._recommend, inputs)}

    def _recommend(self, request: Tensors) -> Outputs:
        retrieval, retriever = self.retrieval, self.retrieval.retriever
        limit = checked_count("limit", request["limit"], retrieval.most_items)
        query = retrieval.query.encode(request, retrieval.encoder)
        history = self._history_entries(request, query).rows
        top = retriever.search(
            retrieval.embed_query(query),
            tf.maximum(limit, self._candidates),
            self._excluded(request, history),
            retrieval.filters(request),
            retrieval.bonus(request, query),
        )
        found = Found(query=query, history=history, rows=top.rows, scores=top.scores)
        log_chances = tf.where(tf.math.is_finite(top.scores), self.order.log_chances(found), -float("inf"))
        best, places = tf.math.top_k(log_chances, k=limit)
        # Padding keeps its score of -inf; a chance too small for float32 is 0, but in its place.
        scores = tf.where(tf.math.is_finite(best), tf.exp(best), -float("inf"))
        return {"item_ids": retriever.item_ids.ids(tf.gather(top.rows, places, batch_dims=1)), "scores": scores}

    def _excluded(self, request: Tensors, history: tf.Tensor) -> tf.Tensor:
        """Rows `[batch, e] int32` that are excluded by id or, if so wished, in the history; -1: none."""
        named = self.retrieval.retriever.item_ids.numbers(request[EXCLUSIONS])
        named = tf.broadcast_to(named, [tf.shape(history)[0], tf.shape(named)[1]])
        return tf.concat([named, tf.where(request[EXCLUDE_SEEN], history, -1)], axis=1)
