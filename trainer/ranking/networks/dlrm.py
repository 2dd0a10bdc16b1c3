"""DLRM's interaction by inner products (https://arxiv.org/abs/1906.00091)."""

import numpy as np
import tensorflow as tf

from trainer.config.ranking import DLRMConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.products import Dense, matmul
from trainer.ranking.networks.contract import Network


class DLRM(Network):
    """The inner products of all pairs of embeddings, and dense layers over these and the embeddings (section 2.1).

    The heads read the products beside the last dense layer, so that the product of a user's and an item's embedding, a
    factorisation of the labels, is one of the terms of a score.
    """

    def __init__(self, config: DLRMConfig, *, num_features: int, dimension: int, dropouts: DropoutSeries) -> None:
        """Makes the layers."""
        super().__init__(config, num_features=num_features, dimension=dimension, dropouts=dropouts)
        self.shape_of_vectors = (num_features, dimension)
        left, right = np.triu_indices(num_features, k=1)
        self.places = (left * num_features + right).astype(np.int32)
        self.dropout = dropouts.layer(config.dropout, 1)
        self.hidden = [Dense(width, activation="relu") for width in config.hidden]

    def call(self, vectors: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, F * D]` to `[batch, F (F - 1) / 2 + last hidden width]`."""
        inputs = self.dropout(vectors, training=training)
        num_features, dimension = self.shape_of_vectors
        each = tf.reshape(inputs, [-1, num_features, dimension])
        products = tf.reshape(matmul(each, each, transpose_b=True), [-1, num_features * num_features])
        products = tf.gather(products, self.places, axis=1)
        deep = tf.concat([inputs, products], axis=-1)
        for layer in self.hidden:
            deep = layer(deep)
        return tf.concat([products, deep], axis=-1) if self.hidden else deep
