"""DCN-v2 in parallel form (https://arxiv.org/abs/2008.13535)."""

import tensorflow as tf
import tensorflow_recommenders as tfrs

from trainer.config.ranking import DCNConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.products import Dense
from trainer.ranking.networks.contract import Network


class DCN(Network):
    """Cross layers and dense layers side by side over the same embeddings.

    A cross layer is x_{l+1} = x_0 * (W_l x_l + b_l) + x_l (Eq. 1), or with W_l = U_l V_l of low rank (Eq. 2).
    """

    def __init__(self, config: DCNConfig, *, num_features: int, dimension: int, dropouts: DropoutSeries) -> None:
        """Makes the layers."""
        super().__init__(config, num_features=num_features, dimension=dimension, dropouts=dropouts)
        rank = config.cross_rank if 0 < config.cross_rank < num_features * dimension else None
        self.cross = [tfrs.layers.dcn.Cross(projection_dim=rank) for _ in range(config.cross_layers)]
        self.dropout = dropouts.layer(config.dropout, 1)
        self.hidden = [Dense(width, activation="relu") for width in config.hidden]

    def call(self, vectors: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, F * D]` to `[batch, F * D + last hidden width]`: what the cross layers say, then the dense ones."""
        crossed = inputs = self.dropout(vectors, training=training)
        for layer in self.cross:
            crossed = layer(inputs, crossed)
        deep = inputs
        for layer in self.hidden:
            deep = layer(deep)
        return tf.concat([crossed, deep], axis=-1)
