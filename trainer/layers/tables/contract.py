"""What every embedding table is: a layer from indices to vectors, whatever is stored.

A new kind is a subclass in a file of its own, with a dataclass of its options and a line in
`trainer.config.tables.TABLES`; the contract test runs it. Which rows belong to an index must depend on the options and
on the facts alone, and on no seed: a restored model is made with another one.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import tensorflow as tf

from trainer.config.export import Precision
from trainer.config.tables import TableConfig
from trainer.layers.stored_matrix import Matrix, StoredMatrix, look_up, whole

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# Indices for each place of a history up to which a sum in training is one matrix product: the product grows with the
# table, the lookup and its scattered gradient with the places.
_INDICES_A_PLACE = 32
# Initial values need no more than the float32 that they are stored in.
_MOST_STEPS, _PRECISION = 100, 1e-14
# More than any model adds to its seed.
_SEEDS_A_PART = 1_000_003


@dataclass(frozen=True, kw_only=True)
class TableFacts:
    """What a table is of."""

    name: str = ""
    """Name of the table in `Encoded.table`."""
    num_indices: int
    """Indices that are looked up; 0 stands for a missing value."""
    dimension: int
    """D, components of a vector."""
    num_special: int = 1
    """The first indices, which stand for missing and unknown values: in every kind they share nothing."""
    stddev: float = 0.0
    """Standard deviation of a vector's components at first; 0 starts from zero."""
    seed: int = 0
    """Of the noise at first."""
    counts: npt.NDArray[np.int64] | None = None
    """`[num_indices]`: how often each index occurs in training; None if nobody knows."""

    def noise(self, part: int = 0, scale: float = 1.0) -> tf.keras.initializers.Initializer:
        """The initial values of a part of the table, `scale` times as large as those of a whole one.

        Rows of special indices start from zero: training may never see an unknown value, and until it does, nothing
        is known of one.
        """
        if self.stddev == 0:
            return tf.keras.initializers.Zeros()
        seed = self.seed + part * _SEEDS_A_PART
        return _NormalWithZeroRows(stddev=scale * self.stddev, seed=seed, num_zeros=self.num_special)


class _NormalWithZeroRows(tf.keras.initializers.RandomNormal):
    """Normal noise, but zero in the first rows."""

    def __init__(self, *, stddev: float, seed: int, num_zeros: int) -> None:
        super().__init__(stddev=stddev, seed=seed)
        self.num_zeros = num_zeros

    def __call__(self, shape: Sequence[int], dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        """`[rows, D]`, of a whole matrix or of a shard that begins at `partition_offset`."""
        noise = super().__call__(shape, dtype, **kwargs)
        first_row = kwargs.get("partition_offset", (0,))[0]
        row = first_row + tf.range(tf.shape(noise)[0])
        return tf.where(row[:, None] < self.num_zeros, tf.zeros([], noise.dtype), noise)


class EmbeddingTable(tf.keras.layers.Layer):
    """Vectors by index; creates its weights in its constructor, so that an optimizer can be built before a call."""

    def __init__(self, config: Any, facts: TableFacts) -> None:
        """Keeps the options of the kind, and what the table is of."""
        super().__init__()
        self.config: TableConfig = config
        self.num_indices, self.dimension = facts.num_indices, facts.dimension
        self.table_name = facts.name

    @property
    def rows_of_values(self) -> Mapping[str, str]:
        """Attributes with a row for each index, and the name of the table: a warm start matches their rows by value."""
        return {}

    @abstractmethod
    def call(self, indices: tf.Tensor) -> tf.Tensor:
        """`[...] int32` to `[..., D] float32`."""

    def all_vectors(self) -> tf.Tensor:
        """`[num_indices, D] float32`."""
        return self(tf.range(self.num_indices))

    def weighted_sum(self, indices: tf.Tensor, weights: tf.Tensor, *, training: bool) -> tf.Tensor:
        """The weighted sum of vectors.

        Args:
            indices: `[batch, width] int32`.
            weights: `[batch, width] float32`, 0 for padding.
            training: Whether a gradient is wanted.

        Returns:
            `[batch, D] float32`.
        """
        return weighted_sum(self, self.all_vectors, self.num_indices, Places(indices, weights), training=training)

    def store_in(self, precision: Precision) -> None:
        """Rounds the trained matrices to fewer bytes for a SavedModel; the table can be trained no more."""
        for name, matrix in list(vars(self).items()):
            if isinstance(matrix, tf.Variable) and matrix.dtype == tf.float32:
                delattr(self, name)  # Keras forgets the weight
                setattr(self, name, StoredMatrix(matrix.numpy(), precision, name))

    def fit(self, vectors: Float32, weights: Float32) -> None:
        """Sets the weights so that the vectors are as near to given ones as the kind can make them.

        Args:
            vectors: `[num_indices, D]`.
            weights: `[num_indices]`, how much each of them counts; 0 leaves an index as it is, but for the rows that it
                shares.
        """
        raise NotImplementedError(f"{type(self).__name__} is not linear; trainer.config.retrieval has refused it")


class Places(NamedTuple):
    """Weighted entries of histories."""

    indices: tf.Tensor
    """`[batch, width] int32`."""
    weights: tf.Tensor
    """`[batch, width] float32`."""


def weighted_sum(
    look_up: Callable[[tf.Tensor], tf.Tensor],
    everything: Callable[[], tf.Tensor],
    size: int,
    places: Places,
    *,
    training: bool,
) -> tf.Tensor:
    """The weighted sum of what is looked up, `[batch, D] float32`.

    In training over a small table, it is a product of the whole table with the weights by index, whose gradient is a
    product too, with no vector for each place.

    Args:
        look_up: `[...] int32` to `[..., D] float32`.
        everything: Returns what all indices give, `[size, D] float32`.
        size: Number of indices.
        places: What is added up.
        training: Whether a gradient is wanted.
    """
    indices, weights = places
    width = indices.shape[1]
    if not training or width is None or size > _INDICES_A_PLACE * width:
        return tf.einsum("bw,bwd->bd", weights, look_up(indices))
    batch = tf.shape(indices)[0]
    numbers = tf.range(batch)[:, None] * size + indices
    by_index = tf.math.unsorted_segment_sum(tf.reshape(weights, [-1]), tf.reshape(numbers, [-1]), batch * size)
    return tf.matmul(tf.reshape(by_index, [batch, size]), everything())


class Part(NamedTuple):
    """A matrix, and which of its rows belongs to an index."""

    matrix: Matrix
    """`[rows, D] float32`; rounded to fewer bytes in a SavedModel, if that is wanted."""
    row_of: Callable[[tf.Tensor], tf.Tensor]
    """Indices, `[...] int32`, to rows of the matrix, `[...] int32`."""

    def look_up(self, indices: tf.Tensor) -> tf.Tensor:
        """`[...] int32` to `[..., D] float32`."""
        return look_up(self.matrix, self.row_of(indices))


class LinearTable(EmbeddingTable):
    """A table whose vectors are sums of rows, one of each part."""

    @abstractmethod
    def parts(self) -> Sequence[Part]:
        """The rows that are added up; several parts may share a matrix."""

    def call(self, indices: tf.Tensor) -> tf.Tensor:
        """`[...] int32` to `[..., D] float32`."""
        return tf.add_n([part.look_up(indices) for part in self.parts()])

    def weighted_sum(self, indices: tf.Tensor, weights: tf.Tensor, *, training: bool) -> tf.Tensor:
        """As of any table; each part is summed for itself, which takes fewer products where it has few rows."""
        return tf.add_n(
            [
                weighted_sum(
                    partial(look_up, part.matrix),
                    partial(whole, part.matrix),
                    int(part.matrix.shape[0]),
                    Places(part.row_of(indices), weights),
                    training=training,
                )
                for part in self.parts()
            ]
        )

    def fit(self, vectors: Float32, weights: Float32) -> None:
        """The rows whose sums are nearest to the vectors by weighted least squares; rows of no vector stay."""
        known = np.flatnonzero(weights > 0)
        matrices = list({id(part.matrix): part.matrix for part in self.parts()}.values())
        sums = _sums_of_rows(self.parts(), matrices, known)
        missing = vectors[known] - self(tf.constant(known, tf.int32)).numpy()
        weighted = sums.T @ sp.diags(weights[known].astype(np.float64))
        change = _conjugate_gradients((weighted @ sums).tocsr(), weighted @ missing)
        ends = np.cumsum([matrix.shape[0] for matrix in matrices])
        for matrix, rows in zip(matrices, np.split(change, ends[:-1]), strict=True):
            matrix.assign_add(rows.astype(np.float32))


def _sums_of_rows(
    parts: Sequence[Part], matrices: Sequence[tf.Variable], indices: npt.NDArray[np.int64]
) -> sp.csr_matrix:
    """`[indices, rows of all matrices]`: how often each row, of the matrices one below the other, is in a vector."""
    starts = dict(zip(map(id, matrices), np.cumsum([0, *(matrix.shape[0] for matrix in matrices)]), strict=False))
    shape = (len(indices), sum(int(matrix.shape[0]) for matrix in matrices))
    total = sp.csr_matrix(shape)
    for part in parts:
        rows = starts[id(part.matrix)] + part.row_of(tf.constant(indices, tf.int32)).numpy()
        total += sp.csr_matrix((np.ones(len(indices)), (np.arange(len(indices)), rows)), shape)
    return total


def _conjugate_gradients(matrix: sp.csr_matrix, right: Float64) -> Float64:
    """Solves `matrix @ x = right` for each column, preconditioned by the diagonal of the matrix.

    Hestenes & Stiefel 1952, https://doi.org/10.6028/jres.049.044. From zero it moves only rows that occur, so that a
    semidefinite matrix is no obstacle; a diagonal one takes one step.

    Args:
        matrix: `[n, n]`, symmetric and positive semidefinite.
        right: `[n, d]`, in its range.
    """
    diagonal = matrix.diagonal()[:, None]
    inverse = np.divide(1.0, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0)
    solution, residual = np.zeros_like(right), right.copy()
    direction = inverse * residual
    size = first = (residual * direction).sum(axis=0)
    for _ in range(_MOST_STEPS):
        if (size <= _PRECISION * first).all():
            break
        image = matrix @ direction
        curvature = (direction * image).sum(axis=0)
        step = np.divide(size, curvature, out=np.zeros_like(size), where=curvature > 0)
        solution += step * direction
        residual -= step * image
        scaled = inverse * residual
        former, size = size, (residual * scaled).sum(axis=0)
        direction = scaled + np.divide(size, former, out=np.zeros_like(size), where=former > 0) * direction
    return solution
