"""Item-item similarities inside the graph: how much each item of a history speaks for each candidate.

Every similarity answers the same question, `pairs`, so that all are summed up over the history in the same ways.
Rows are rows of the catalogue; -1 is padding.

Shapes: B queries, H history entries, C candidates.
"""

from abc import abstractmethod

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import tensorflow as tf

from trainer.config.export import Precision
from trainer.layers.stored_matrix import StoredMatrix


class Similarity(tf.Module):
    """The contract."""

    @abstractmethod
    def pairs(self, history: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """Similarity of each pair.

        Args:
            history: `[B, H] int32`, rows of the catalogue, -1 for padding.
            candidates: `[B, C] int32`, rows of the catalogue, -1 for padding.

        Returns:
            `[B, H, C] float32`, 0 where either is padding.
        """

    def stored_in(self, precision: Precision) -> "Similarity":
        """The same similarity, its numbers rounded to fewer bytes; itself where it holds none."""
        return self


class SameItem(Similarity):
    """1 where the candidate is the history's item: what the user had already."""

    def pairs(self, history: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """Equality."""
        same = (history[:, :, None] == candidates[:, None, :]) & (history >= 0)[:, :, None]
        return tf.cast(same, tf.float32)


class VectorSimilarity(Similarity):
    """The inner product of the items' vectors."""

    def __init__(self, vectors: npt.NDArray[np.float32], name: str, precision: Precision = "float32") -> None:
        """Holds the vectors, `[items, d] float32`; normalise them before for a cosine."""
        super().__init__(name=name)
        # The last row is zero: padding reads it.
        self.padding = len(vectors)
        self.vectors = StoredMatrix(np.vstack([vectors, np.zeros_like(vectors[:1])]), precision, "vectors")

    def pairs(self, history: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """Gathers and multiplies."""
        of_history = self.vectors.rows(tf.where(history >= 0, history, self.padding))
        of_candidates = self.vectors.rows(tf.where(candidates >= 0, candidates, self.padding))
        return tf.matmul(of_history, of_candidates, transpose_b=True)

    def stored_in(self, precision: Precision) -> Similarity:
        """Rounds the vectors."""
        return VectorSimilarity(self.vectors.whole().numpy()[:-1], self.name, precision)


class SparseSimilarity(Similarity):
    """The nearest neighbours of each item with their similarities; 0 for every other item."""

    def __init__(self, neighbours: sp.csr_array, name: str, precision: Precision = "float32") -> None:
        """Holds `[items, items] float32`, sparse: row i says what a history's item i speaks for."""
        super().__init__(name=name)
        rows, weights = padded_rows(neighbours)
        # Two bytes hold the rows of a smaller catalogue; their largest number is what stands beyond a row's end then.
        dtype = np.uint16 if neighbours.shape[1] <= np.iinfo(np.uint16).max else np.int32
        self.rows = tf.Variable(np.minimum(rows, np.iinfo(dtype).max).astype(dtype), trainable=False, name="rows")
        self.weights = StoredMatrix(weights, precision, "weights")

    def pairs(self, history: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """Looks each candidate up among the sorted neighbours of each item of the history."""
        batch, entries, items = tf.shape(history)[0], tf.shape(history)[1], tf.shape(candidates)[1]
        flat = tf.reshape(tf.maximum(history, 0), [-1])
        rows, weights = tf.cast(tf.gather(self.rows, flat), tf.int32), self.weights.rows(flat)
        wanted = tf.reshape(tf.repeat(candidates[:, None, :], entries, axis=1), [batch * entries, items])
        places = tf.minimum(tf.searchsorted(rows, wanted), tf.shape(rows)[1] - 1)
        is_found = tf.gather(rows, places, batch_dims=1) == wanted
        found = tf.where(is_found, tf.gather(weights, places, batch_dims=1), 0.0)
        found = tf.reshape(found, [batch, entries, items])
        return tf.where((history >= 0)[:, :, None] & (candidates >= 0)[:, None, :], found, 0.0)

    def stored_in(self, precision: Precision) -> Similarity:
        """Rounds the similarities; which items are neighbours stays."""
        rows, weights = self.rows.numpy(), self.weights.whole().numpy()
        is_there = rows < np.iinfo(rows.dtype).max
        starts = np.concatenate([[0], np.cumsum(is_there.sum(axis=1))])
        neighbours = (weights[is_there], rows[is_there].astype(np.int32), starts)
        return SparseSimilarity(sp.csr_array(neighbours, shape=(len(rows), len(rows))), self.name, precision)


def padded_rows(neighbours: sp.csr_array) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The rows of a sparse matrix side by side.

    Returns:
        Columns in ascending order and their values, `[rows, widest]` each; the largest int32 and 0 beyond a row's end.
    """
    neighbours.sort_indices()
    lengths = np.diff(neighbours.indptr)
    width = max(1, int(lengths.max(initial=0)))
    columns = np.full((len(lengths), width), np.iinfo(np.int32).max, np.int32)
    values = np.zeros((len(lengths), width), np.float32)
    is_there = np.arange(width) < lengths[:, None]
    columns[is_there], values[is_there] = neighbours.indices, neighbours.data
    return columns, values
