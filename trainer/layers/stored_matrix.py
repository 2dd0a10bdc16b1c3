"""Matrices of a SavedModel in fewer bytes than float32, read back as float32 inside the graph."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.config.export import Precision

_LARGEST = 127
# Of an int8 row and its scale, and of a float16 row: where the row is shorter, float16 is the smaller.
_INT8_COLUMNS = 5


class StoredMatrix(tf.Module):
    """`[rows, columns] float32`, of which some rows are read at a time.

    `float16` rounds each value to 11 significant bits; values beyond 65,504 become that. `int8` stores row i as
    q = round(127 x / max |x_i|), so that no value is off by more than max |x_i| / 254; rows of less than five columns,
    whose scale would outweigh them, are stored in float16.
    """

    def __init__(self, values: npt.NDArray[np.float32], precision: Precision, name: str) -> None:
        """Rounds and holds the values."""
        super().__init__(name=name)
        self.scales: tf.Variable | None = None
        if precision == "int8" and values.shape[1] >= _INT8_COLUMNS:
            scales = np.abs(values).max(axis=1, keepdims=True, initial=0.0) / _LARGEST
            scales = np.where(scales > 0, scales, 1.0).astype(np.float32)
            stored = np.rint(values / scales).astype(np.int8)
            self.scales = tf.Variable(scales, trainable=False, name="scales")
        elif precision == "float32":
            stored = values
        else:
            limit = float(np.finfo(np.float16).max)
            stored = np.clip(values, -limit, limit).astype(np.float16)
        self.values = tf.Variable(stored, trainable=False, name="values")

    def rows(self, rows: tf.Tensor) -> tf.Tensor:
        """Rows `[...] int32`, none negative, to `[..., columns] float32`."""
        found = tf.cast(tf.gather(self.values, rows), tf.float32)
        return found if self.scales is None else found * tf.gather(self.scales, rows)

    def whole(self) -> tf.Tensor:
        """All rows, `[rows, columns] float32`."""
        values = tf.cast(self.values, tf.float32)
        return values if self.scales is None else values * self.scales

    @property
    def shape(self) -> tf.TensorShape:
        """`[rows, columns]`."""
        return self.values.shape

    @property
    def num_bytes(self) -> int:
        """Bytes of the variables."""
        return sum(variable.numpy().nbytes for variable in (self.values, self.scales) if variable is not None)


Matrix: TypeAlias = tf.Variable | StoredMatrix
"""`[rows, columns] float32`, as it is trained or as it is stored."""


def look_up(matrix: Matrix, rows: tf.Tensor) -> tf.Tensor:
    """Rows `[...] int32` to `[..., columns] float32`, also of a matrix whose parts lie on several servers."""
    return matrix.rows(rows) if isinstance(matrix, StoredMatrix) else tf.nn.embedding_lookup(matrix, rows)


def whole(matrix: Matrix) -> tf.Tensor:
    """All rows, `[rows, columns] float32`."""
    return matrix.whole() if isinstance(matrix, StoredMatrix) else tf.convert_to_tensor(matrix)
