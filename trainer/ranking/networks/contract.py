"""What every network of the ranking model is.

A new one is a subclass in a file of its own, with a dataclass of its options and a line in
`trainer.config.ranking.NETWORKS`; the contract test runs it.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from trainer.layers.dropout import DropoutSeries


@dataclass(frozen=True, kw_only=True)
class History:
    """The histories behind pairs, each held once for all pairs of its query."""

    entries: tf.Tensor
    """`[queries, H, D] float32`: embeddings of the history's items."""
    present: tf.Tensor
    """`[queries, H] bool`, false for padding."""
    query_of_pair: tf.Tensor | None
    """`[batch] int32`: the query of each pair; None: the queries are those of the pairs, one by one."""
    item_place: int
    """Which of the F features of a pair is the id of its item."""

    def of_pairs(self, values: tf.Tensor) -> tf.Tensor:
        """Values of the queries, `[queries, ...]`, as those of the pairs, `[batch, ...]`."""
        return values if self.query_of_pair is None else tf.gather(values, self.query_of_pair)


class Network(tf.keras.layers.Layer):
    """The embedded features of a query and a candidate in, one vector for the heads of all tasks out.

    The options of a network that reads the single items of the history say so by `reads_history`: its constructor
    is then given `history`, the most entries of one, and `call` is given `history`, a `History`. All others know the
    history's mean embedding, which is one of the features.
    """

    @abstractmethod
    def __init__(self, config: Any, *, num_features: int, dimension: int, dropouts: DropoutSeries) -> None:
        """Makes the layers.

        Args:
            config: Options of the network's kind.
            num_features: Features of query and candidate together, F.
            dimension: Components of each feature's embedding, D.
            dropouts: Makes the layers that zero components in training.
        """
        super().__init__()

    @abstractmethod
    def call(self, vectors: tf.Tensor, training: bool = False) -> tf.Tensor:
        """What the heads read of each pair.

        Args:
            vectors: `[batch, F * D] float32`: the embeddings, those of the query's features first.
            training: Whether dropout is on.

        Returns:
            `[batch, width] float32`.
        """
