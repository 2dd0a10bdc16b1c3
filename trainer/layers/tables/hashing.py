"""Hash functions of indices, in stock operations: the finaliser of MurmurHash3, which mixes all bits of a number."""

import tensorflow as tf

_FACTORS = (0x85EBCA6B, 0xC2B2AE35)
_GOLDEN = 0x9E3779B9  # 2^32 divided by the golden ratio, so that the starts of the functions are far apart
_32_BITS = 2**32 - 1


def hash_rows(indices: tf.Tensor, rows: int, number: int = 0) -> tf.Tensor:
    """A row from 0 to `rows - 1` for each index.

    Args:
        indices: `[...] int32`.
        rows: Number of rows.
        number: Which hash function; the same on every machine.

    Returns:
        `[...] int32`.
    """
    mixed = tf.cast(indices, tf.uint64) + tf.constant(number * _GOLDEN & _32_BITS, tf.uint64)
    for shift, factor in zip((16, 13), _FACTORS, strict=True):
        mixed = _low(_shifted(_low(mixed), shift) * tf.constant(factor, tf.uint64))
    return tf.cast(_shifted(mixed, 16) % tf.constant(rows, tf.uint64), tf.int32)


def special_or(indices: tf.Tensor, num_special: int, row_of_other: tf.Tensor) -> tf.Tensor:
    """Rows of a matrix that begins with a row for each special index.

    Args:
        indices: `[...] int32`.
        num_special: Number of special indices, which are the first.
        row_of_other: `[...] int32`, the row of each index that is not special, counted after those.
    """
    return tf.where(indices < num_special, indices, num_special + row_of_other)


def _shifted(numbers: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(numbers, tf.bitwise.right_shift(numbers, tf.constant(bits, tf.uint64)))


def _low(numbers: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.bitwise_and(numbers, tf.constant(_32_BITS, tf.uint64))
