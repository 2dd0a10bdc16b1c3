"""The mean of a history's items."""

import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.layers.encoders.base import HistoryEncoder, same_history
from trainer.layers.history_embedding import HistoryEmbedding


class MeanEncoder(HistoryEncoder):
    """The mean of the entries' embeddings, whatever their order."""

    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        """Returns running means."""
        visible = tf.cast(same_history(positions), vectors.dtype)
        return tf.matmul(visible, vectors) / tf.cast(tf.maximum(positions + 1, 1), vectors.dtype)[..., None]

    def call(
        self,
        history: tf.Tensor | tf.RaggedTensor,
        embedding: HistoryEmbedding,
        beside: Tensors | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """As for every encoder, without the states in between; takes ragged histories too."""
        if not isinstance(history, tf.RaggedTensor):
            present = tf.cast(history > 0, tf.float32)
            weights = tf.math.divide_no_nan(present, tf.reduce_sum(present, axis=1, keepdims=True))
            mean = embedding.weighted_sum(history, beside, weights, training=training)
            return self.input_dropout(mean, training=training)
        rows = tf.cast(history.nrows(), tf.int32)
        flat = {name: values.flat_values for name, values in (beside or {}).items()}
        vectors = embedding(history.flat_values, flat)
        total = tf.math.unsorted_segment_sum(vectors, history.value_rowids(), rows)
        lengths = tf.cast(history.row_lengths(), total.dtype)
        return self.input_dropout(total / tf.maximum(lengths, 1.0)[:, None], training=training)
