"""How the cascade orders what retrieval found: one class a second stage, behind one contract.

Shapes: `batch` queries, n items found for each; rows are rows of the catalogue, -1 for padding.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.cascade.features import CandidateFeatures, Query
from trainer.export.servables import RankingServable
from trainer.export.untracked import Untracked


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


class Order(tf.Module):
    """The contract of a second stage."""

    @abstractmethod
    def log_chances(self, found: Found) -> tf.Tensor:
        """Log of the chance that each item is what the user wants, by which items are ordered.

        Returns:
            `[batch, n] float32`; any number for padding.
        """


class RetrievalOrder(Order):
    """Retrieval's own order: the softmax of its scores over the items found."""

    def __init__(self, temperature: float) -> None:
        """Divides the scores by the temperature that they were trained with."""
        super().__init__(name="retrieval_order")
        self._temperature = temperature

    def log_chances(self, found: Found) -> tf.Tensor:
        """Log softmax over the items found."""
        return tf.nn.log_softmax(found.scores / self._temperature, axis=1)


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


class ListOrder(Order):
    """The list ranker's order: the softmax of its logits over the items found."""

    def __init__(
        self,
        features: CandidateFeatures,
        logits: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        variables: Iterable[tf.Variable],
        history: int,
    ) -> None:
        """Takes the candidates' features, the trained network as a plain function, and the variables behind it.

        Args:
            features: With the tables of all training events.
            logits: The network.
            variables: Those that `logits` reads.
            history: Most entries of a history, as in the training.
        """
        super().__init__(name="list_order")
        self._history = history
        self.features, self._variables = features, list(variables)
        self._logits = Untracked(logits)

    def log_chances(self, found: Found) -> tf.Tensor:
        """Log softmax over the items found."""
        query = Query(history=last_items(found.history, self._history), candidates=found.rows, scores=found.scores)
        return tf.nn.log_softmax(self._logits.value(self.features(query), found.rows >= 0), axis=1)


def last_items(history: tf.Tensor, length: int) -> tf.Tensor:
    """Drops all but the last items of each history, `[batch, h] int32`; what is dropped becomes -1, as padding is."""
    later = tf.cumsum(tf.cast(history >= 0, tf.int32), axis=1, exclusive=True, reverse=True)
    return tf.where(later < length, history, -1)
