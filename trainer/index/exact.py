"""The exact index: stock TensorFlow operations only, so an unmodified TensorFlow Serving runs it."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.config.index import ExactConfig
from trainer.index.base import Index, TopK
from trainer.index.vectors import Vectors


class ExactIndex(Index):
    """Scores every item, in blocks of bounded memory."""

    def __init__(self, embeddings: npt.NDArray[np.float32], config: ExactConfig | None = None) -> None:
        """Stores the embeddings.

        Args:
            embeddings: `[num_items, dim] float32`.
            config: Their precision: `float32` if None; `bfloat16` takes half the bytes and rounds scores to about 3
                decimal digits.
        """
        precision = "float32" if config is None else config.precision
        super().__init__()
        self.vectors = Vectors.from_array(embeddings, tf.as_dtype(precision))
        self.is_exact = precision == "float32"

    def search(self, query_embeddings: tf.Tensor, k: tf.Tensor) -> TopK:
        """See `Index.search`."""
        return self.scan(query_embeddings, k)
