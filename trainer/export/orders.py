"""How the cascade orders what retrieval found: one class a second stage, behind one contract.

Shapes: `batch` queries, n items found for each; rows are rows of the catalogue, -1 for padding.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TypeAlias

import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.cascade.explanation import explain_list
from trainer.cascade.features import FEATURES_OF_SCORES, GROUP_OF_SCORES, CandidateFeatures, Query
from trainer.cascade.model import ListRanker
from trainer.export.servables import RankingServable
from trainer.export.untracked import Untracked
from trainer.layers.attribution import Explanation
from trainer.ranking.explanation import Pairs

Explained: TypeAlias = tuple[tuple[str, str], ...]
"""Names of features, each with that of its group."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What retrieval found, and for whom."""

    query: Tensors
    """Encoded query features, `[batch, …]`."""
    history: tf.Tensor
    """`[batch, h] int32`: the history's items, oldest first."""
    rows: tf.Tensor
    """`[batch, n] int32`, best first."""
    scores: tf.Tensor
    """`[batch, n] float32`, -inf for padding."""
    history_times: tf.Tensor | None = None
    """`[batch, h] int64`: of the events, seconds since 1970-01-01 UTC, 0 where unknown; None if nobody asks."""
    asked_at: tf.Tensor | None = None
    """`[batch] int64`: time of the request, seconds since 1970-01-01 UTC, 0 where unknown; None if nobody asks."""


class Order(tf.Module):
    """The contract of a second stage."""

    @abstractmethod
    def log_chances(self, found: Found) -> tf.Tensor:
        """Log of the chance that each item is what the user wants, by which items are ordered.

        Returns:
            `[batch, n] float32`; any number for padding.
        """

    @abstractmethod
    def explain(self, found: Found, places: tf.Tensor) -> Explanation:
        """Explains the log chances of the items at some places, `[batch, places] int32`."""

    @property
    def reads_times(self) -> bool:
        """Whether it looks at the times of the history's events and of the request."""
        return False

    @property
    @abstractmethod
    def explained(self) -> Explained:
        """The features whose contributions `explain` tells, in their order, each with its group."""


class RetrievalOrder(Order):
    """Retrieval's own order: the softmax of its scores over the items found."""

    def __init__(self, temperature: float) -> None:
        """Divides the scores by the temperature that they were trained with."""
        super().__init__(name="retrieval_order")
        self._temperature = temperature

    def log_chances(self, found: Found) -> tf.Tensor:
        """Log softmax over the items found."""
        return tf.nn.log_softmax(found.scores / self._temperature, axis=1)

    def explain(self, found: Found, places: tf.Tensor) -> Explanation:
        """The score is all there is."""
        is_item = found.rows >= 0
        logits = tf.where(is_item, found.scores / self._temperature, 0.0)
        count = tf.maximum(tf.reduce_sum(tf.cast(is_item, tf.float32), axis=1, keepdims=True), 1.0)
        mean = tf.reduce_sum(logits, axis=1, keepdims=True) / count
        above = tf.gather(tf.where(is_item, logits - mean, 0.0), places, batch_dims=1)
        log_total = tf.reduce_logsumexp(tf.where(is_item, logits, logits.dtype.min), axis=1, keepdims=True)
        return Explanation(
            baseline=mean - log_total, features=above[..., None], history=tf.zeros_like(above)[..., None][..., :0]
        )

    @property
    def explained(self) -> Explained:
        """Retrieval's score."""
        return ((FEATURES_OF_SCORES[0], GROUP_OF_SCORES),)


class RankingOrder(Order):
    """Log of the chance that the user takes the item and is content: P(item | query) P(content | query, item).

    The first factor is the softmax of retrieval's scores over the items found, the second the ranking model's.
    """

    def __init__(self, ranking: RankingServable, temperature: float) -> None:
        """Takes the ranking model and the temperature of retrieval's scores."""
        super().__init__(name="ranking_order")
        self.ranking, self.retrieval = ranking, RetrievalOrder(temperature)

    def log_chances(self, found: Found) -> tf.Tensor:
        """The sum of both logs."""
        items = self.ranking.items.of_rows(tf.reshape(found.rows, [-1]))
        contentment = self.ranking.log_chances(found.query, items, tf.shape(found.rows))
        return self.retrieval.log_chances(found) + contentment

    def explain(self, found: Found, places: tf.Tensor) -> Explanation:
        """The contributions to both logs."""
        items = self.ranking.items.of_rows(tf.reshape(found.rows, [-1]))
        pairs = Pairs(query=found.query, candidate=items, is_item=found.rows >= 0, places=places)
        by_score, contentment = self.retrieval.explain(found, places), self.ranking.explain(pairs)
        return Explanation(
            baseline=by_score.baseline + contentment.baseline,
            features=tf.concat([by_score.features, contentment.features], axis=-1),
            history=contentment.history,
        )

    @property
    def explained(self) -> Explained:
        """Retrieval's score and the features of the item."""
        return (*self.retrieval.explained, *((name, "ranking") for name in self.ranking.explained))


class ListOrder(Order):
    """The list ranker's order: the softmax of its logits over the items found."""

    def __init__(self, features: CandidateFeatures, ranker: ListRanker, history: int) -> None:
        """Takes the candidates' features and the trained network.

        Args:
            features: With the tables of all training events.
            ranker: The network; a SavedModel gets its variables and none of its training.
            history: Most entries of a history, as in the training.
        """
        super().__init__(name="list_order")
        self._history = history
        self.features, self._variables = features, list(ranker.variables)
        self._ranker = Untracked(ranker)

    def log_chances(self, found: Found) -> tf.Tensor:
        """Log softmax over the items found."""
        query = self._query(found, last_entries(found.history, self._history))
        return tf.nn.log_softmax(self._ranker.value(self.features(query), found.rows >= 0), axis=1)

    def explain(self, found: Found, places: tf.Tensor) -> Explanation:
        """The contributions of the features and of the history's entries."""
        entries = last_entries(found.history, self._history)
        explained = explain_list(self._ranker.value, self.features, self._query(found, entries), places)
        # Back to where the entries lie in the request; those that are dropped contribute nothing.
        spread = tf.one_hot(entries, tf.shape(found.history)[1])
        return explained._replace(history=tf.matmul(explained.history, spread))

    @property
    def reads_times(self) -> bool:
        """Whether its features do."""
        return self.features.with_times

    @property
    def explained(self) -> Explained:
        """The features of the list ranker."""
        return tuple(zip(self.features.names, self.features.groups, strict=True))

    def _query(self, found: Found, entries: tf.Tensor) -> Query:
        times = found.history_times
        return Query(
            history=entries_at(entries, found.history, -1),
            candidates=found.rows,
            scores=found.scores,
            history_times=None if times is None else entries_at(entries, times, 0),
            asked_at=found.asked_at,
        )


def last_entries(history: tf.Tensor, length: int) -> tf.Tensor:
    """Where the last items of each history lie.

    A request's history stands beside the known one, and features of pairs take as long as their histories are wide.

    Args:
        history: `[batch, h] int32`: rows of the catalogue, oldest first, -1 for padding anywhere.
        length: Most items of a history.

    Returns:
        `[batch, min(h, length)] int32`: places in the history, oldest first, then -1.
    """
    places = tf.where(history >= 0, tf.range(tf.shape(history)[1]), -1)
    newest_first = tf.math.top_k(places, tf.minimum(length, tf.shape(history)[1])).values
    return tf.reverse_sequence(newest_first, tf.math.count_nonzero(newest_first >= 0, axis=1), seq_axis=1)


def entries_at(places: tf.Tensor, values: tf.Tensor, missing: int) -> tf.Tensor:
    """Values `[batch, h]` at places `[batch, n] int32`, `[batch, n]`; `missing` where the place is -1."""
    found = tf.gather(values, tf.maximum(places, 0), batch_dims=1)
    return tf.where(places >= 0, found, tf.constant(missing, values.dtype))
