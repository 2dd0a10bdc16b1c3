"""A mean of a history's items with learnt weights, one for each place from the end."""

import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.config.encoders import EncoderConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.encoders.base import HistoryEncoder, same_history
from trainer.layers.history_embedding import HistoryEmbedding


class RecencyEncoder(HistoryEncoder):
    """A weighted mean of the entries' embeddings; what each place from the end weighs is learnt, one number a place.

    Item-based filtering with a decay, whose curve the training finds; starts as the plain mean.
    """

    def __init__(self, config: EncoderConfig, dimension: int, *, length: int, dropouts: DropoutSeries) -> None:
        """Creates the weights' logits, zero for every place."""
        super().__init__(config, dimension, length=length, dropouts=dropouts)
        self.log_weights = self.add_weight(name="log_weights", shape=(length,), initializer="zeros")

    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        """Returns weighted running means."""
        places = tf.range(tf.shape(positions)[1])
        back = tf.clip_by_value(places[:, None] - places[None, :], 0, self.length - 1)
        return tf.matmul(_softmax_over(tf.gather(self.log_weights, back)[None], same_history(positions)), vectors)

    def call(
        self, history: tf.Tensor, embedding: HistoryEmbedding, beside: Tensors | None = None, training: bool = False
    ) -> tf.Tensor:
        """As for every encoder, without the states in between."""
        present = history > 0
        lengths = tf.reduce_sum(tf.cast(present, tf.int32), axis=1, keepdims=True)
        back = tf.maximum(lengths - 1 - tf.range(tf.shape(history)[1])[None, :], 0)
        weights = _softmax_over(tf.gather(self.log_weights, back), present)
        if self.config.dropout == 0:
            return embedding.weighted_sum(history, beside, weights, training=training)
        vectors = self.input_dropout(embedding(history, beside), training=training)
        return tf.reduce_sum(weights[..., None] * vectors, axis=1)


def _softmax_over(logits: tf.Tensor, visible: tf.Tensor) -> tf.Tensor:
    """Softmax along the last axis over what is visible; zero where nothing is."""
    weights = tf.where(visible, tf.exp(logits), tf.zeros_like(logits))
    return tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=-1, keepdims=True))
