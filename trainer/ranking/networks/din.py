"""Deep Interest Network (https://arxiv.org/abs/1706.06978): attention over the history by the item to be scored."""

import tensorflow as tf

from trainer.config.ranking import DINConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.products import Dense, matmul
from trainer.ranking.networks.contract import History, Network


class DIN(Network):
    """The history as the item to be scored sees it, and dense layers over this and the embeddings.

    v_U(A) = sum_j a(e_j, v_A) e_j (Eq. 3): e_j are the embeddings of the history's items, v_A is that of the item. The
    weights are not normalised, so that many similar items count more than one (section 4.3). The activation unit a is a
    layer of PReLU over e_j, v_A and their product, and a linear one. The embeddings e_j, and what that layer makes of
    them alone, are computed once a query, however many candidates it has.
    """

    def __init__(
        self, config: DINConfig, *, num_features: int, dimension: int, history: int, dropouts: DropoutSeries
    ) -> None:
        """Makes the layers."""
        super().__init__(config, num_features=num_features, dimension=dimension, dropouts=dropouts)
        self.dimension = dimension
        self.dropout = dropouts.layer(config.dropout, 1)
        self.of_entry = Dense(config.attention, use_bias=False)
        self.of_item = Dense(config.attention)
        self.of_product = Dense(config.attention, use_bias=False)
        self.slope = self.add_weight(name="slope", shape=(config.attention,), initializer=_first_slope())
        self.unit = Dense(1)
        self.hidden = [Dense(width, activation="relu") for width in config.hidden]

    def call(self, vectors: tf.Tensor, training: bool = False, history: History | None = None) -> tf.Tensor:
        """`[batch, F * D]` to `[batch, F * D + D]` where there are no dense layers, else their last width."""
        assert history is not None, "a network that reads the history is given it"
        inputs = self.dropout(vectors, training=training)
        start = history.item_place * self.dimension
        item = inputs[:, start : start + self.dimension]
        deep = tf.concat([inputs, self.interest(item, history)], axis=-1)
        for layer in self.hidden:
            deep = layer(deep)
        return deep

    def interest(self, item: tf.Tensor, history: History) -> tf.Tensor:
        """Eq. 3 for items `[batch, D]`: `[batch, D] float32`, 0 for an empty history."""
        entries, present = history.of_pairs(history.entries), history.of_pairs(history.present)
        of_entry = history.of_pairs(self.of_entry(history.entries))
        hidden = of_entry + self.of_item(item)[:, None] + self.of_product(entries * item[:, None])
        weights = self.unit(tf.where(hidden > 0, hidden, self.slope * hidden))[..., 0]
        weights = tf.where(present, weights, 0.0)
        return matmul(weights[:, None], entries)[:, 0]


def _first_slope() -> tf.keras.initializers.Initializer:
    return tf.keras.initializers.Constant(0.25)
