"""The history as a sequence, which every candidate reads by attention."""

import tensorflow as tf

from trainer.config.ranking import SequenceConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.encoders.base import make_encoder
from trainer.layers.products import Dense, matmul
from trainer.ranking.networks.contract import History, Network


class Sequence(Network):
    """What a candidate finds in the encoded history, and dense layers over this and the embeddings.

    One of the encoders of histories (`trainer.layers.encoders`) turns the entries into states, which know the order and
    what came before. That is done once a query. A candidate then attends to the states: softmax(q K^T / sqrt(D)) V
    (Eq. 1 of https://arxiv.org/abs/1706.03762), where q is a projection of the item's embedding, and K and V are
    projections of the states. The dense layers also read the state after the last entry.
    """

    def __init__(
        self, config: SequenceConfig, *, num_features: int, dimension: int, history: int, dropouts: DropoutSeries
    ) -> None:
        """Makes the layers."""
        super().__init__(config, num_features=num_features, dimension=dimension, dropouts=dropouts)
        self.dimension = dimension
        self.encoder = make_encoder(config.encoder, dimension, length=history, dropouts=dropouts.later(1))
        self.dropout = dropouts.layer(config.dropout, 1)
        self.query, self.key, self.value = (Dense(dimension, use_bias=False) for _ in range(3))
        self.hidden = [Dense(width, activation="relu") for width in config.hidden]

    def call(self, vectors: tf.Tensor, training: bool = False, history: History | None = None) -> tf.Tensor:
        """`[batch, F * D]` to `[batch, F * D + 2 D]` where there are no dense layers, else their last width."""
        assert history is not None, "a network that reads the history is given it"
        inputs = self.dropout(vectors, training=training)
        start = history.item_place * self.dimension
        item = inputs[:, start : start + self.dimension]
        states = self.states(history, training)
        deep = tf.concat([inputs, self.read(item, states, history), _last(states, history)], axis=-1)
        for layer in self.hidden:
            deep = layer(deep)
        return deep

    def states(self, history: History, training: bool) -> tf.Tensor:
        """The state after each entry, `[queries, H, D] float32`; any numbers for padding."""
        places = tf.range(tf.shape(history.present)[1])[None]
        positions = tf.where(history.present, places, -1)
        return self.encoder.all_states(history.entries, positions, training)

    def read(self, item: tf.Tensor, states: tf.Tensor, history: History) -> tf.Tensor:
        """What items `[batch, D]` read of their queries' states: `[batch, D] float32`, 0 for an empty history."""
        keys, values = (history.of_pairs(layer(states)) for layer in (self.key, self.value))
        present = history.of_pairs(history.present)
        logits = matmul(self.query(item)[:, None], keys, transpose_b=True)[:, 0] * self.dimension**-0.5
        weights = tf.nn.softmax(tf.where(present, logits, logits.dtype.min))
        weights = tf.where(present, weights, 0.0)
        return matmul(weights[:, None], tf.where(present[..., None], values, 0.0))[:, 0]


def _last(states: tf.Tensor, history: History) -> tf.Tensor:
    """The state after the last entry, for each pair, `[batch, D] float32`; 0 for an empty history."""
    places = tf.range(tf.shape(history.present)[1])[None]
    last = tf.reduce_max(tf.where(history.present, places, -1), axis=1)
    found = tf.gather(states, tf.maximum(last, 0), batch_dims=1)
    return history.of_pairs(tf.where(last[:, None] >= 0, found, 0.0))
