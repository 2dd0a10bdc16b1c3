"""History encoders: the embedded items of a history in, one vector out."""

import tensorflow as tf

from trainer.config import EncoderConfig
from trainer.models.dropout import StepDropout
from trainer.models.embedding import EmbeddingTable, pool


class MeanEncoder(tf.keras.layers.Layer):
    """The mean of the items' embeddings, whatever their order."""

    def __init__(self, config: EncoderConfig, table: EmbeddingTable, *, step: tf.Variable) -> None:
        """Shares `table` with the candidate tower; `step` is the training's."""
        super().__init__()
        self.table = table
        self.dropout = StepDropout(config.dropout, step=step, number=1)

    def call(self, history: tf.Tensor | tf.RaggedTensor, training: bool = False) -> tf.Tensor:
        """Encodes histories.

        Args:
            history: `[batch, length] int32`, rows of the table, 0 is padding; or ragged without padding.
            training: whether dropout is on.

        Returns:
            `[batch, d] float32`, zero for an empty history.
        """
        if isinstance(history, tf.RaggedTensor):
            vectors = self.table(history.flat_values)
            total = tf.math.segment_sum(vectors, history.value_rowids())
            missing = history.nrows() - tf.shape(total, out_type=tf.int64)[0]
            total = tf.pad(total, [[0, missing], [0, 0]])
            lengths = tf.cast(history.row_lengths(), tf.float32)
            mean = total / tf.maximum(lengths, 1.0)[:, None]
        else:
            mean = pool(self.table(history), history)
        return self.dropout(mean, training=training)
