"""What every network of the ranking model is.

A new one is a subclass in a file of its own, with a dataclass of its options and a line in
`trainer.config.ranking.NETWORKS`; the contract test runs it.
"""

from abc import abstractmethod
from typing import Any

import tensorflow as tf

from trainer.layers.dropout import DropoutSeries


class Network(tf.keras.layers.Layer):
    """The embedded features of a query and a candidate in, one vector for the heads of all tasks out."""

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
