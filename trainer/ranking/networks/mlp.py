"""A multi-layer perceptron, the deep part of Wide & Deep (https://arxiv.org/abs/1606.07792)."""

import tensorflow as tf

from trainer.config.ranking import MLPConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.products import Dense
from trainer.ranking.networks.contract import Network


class MLP(Network):
    """Dense layers over the concatenated embeddings: a_{l+1} = relu(W_l a_l + b_l) (Eq. 2)."""

    def __init__(self, config: MLPConfig, *, num_features: int, dimension: int, dropouts: DropoutSeries) -> None:
        """Makes the layers."""
        super().__init__(config, num_features=num_features, dimension=dimension, dropouts=dropouts)
        self.dropout = dropouts.layer(config.dropout, 1)
        self.hidden = [Dense(width, activation="relu") for width in config.hidden]

    def call(self, vectors: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, F * D]` to `[batch, last hidden width]`."""
        deep = self.dropout(vectors, training=training)
        for layer in self.hidden:
            deep = layer(deep)
        return deep
