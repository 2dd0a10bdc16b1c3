"""Caps by attribute: at most so many items of a list share a value.

Shapes: B queries, n candidates, V values of an item.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from features.errors import ConfigError

_NO_VALUE = -1


class Cap(tf.Module):
    """The cap over one attribute."""

    def __init__(self, values: Sequence[Sequence[bytes]], most: int) -> None:
        """Numbers the values of each item, in the catalogue's order; `most` items of a list may share one."""
        super().__init__(name="cap")
        self.most = most
        distinct = {value: number for number, value in enumerate(sorted({v for row in values for v in row if v}))}
        width = max(1, max((len(set(row)) for row in values), default=0))
        codes = np.full((len(values), width), _NO_VALUE, np.int32)
        for row, of_item in enumerate(values):
            numbers = sorted({distinct[value] for value in of_item if value})
            codes[row, : len(numbers)] = numbers
        self._codes = tf.Variable(codes, trainable=False, name="codes")

    def codes(self, rows: tf.Tensor) -> tf.Tensor:
        """`[B, n, V] int32`: the values' numbers of rows `[B, n] int32`; -1 where there is none."""
        return tf.where((rows >= 0)[..., None], tf.gather(self._codes.value(), tf.maximum(rows, 0)), _NO_VALUE)


def make_caps(categorical: Mapping[str, Sequence[Sequence[bytes]]], caps: Mapping[str, int]) -> tuple[Cap, ...]:
    """Makes the configured caps.

    Args:
        categorical: Values of each item by attribute, in the catalogue's order.
        caps: Most items by attribute.

    Raises:
        ConfigError: A cap names no such attribute.
    """
    for name in caps:
        if name not in categorical:
            known = ", ".join(categorical) or "none, since no item feature can be filtered by value"
            raise ConfigError("export.reranker.caps", name, f"item features that requests can filter by value: {known}")
    return tuple(Cap(categorical[name], most) for name, most in caps.items())


def counted(counts: tf.Tensor, codes: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """Counts the chosen items by the values of each candidate, with one more item for each query.

    Args:
        counts: `[B, n, V] int32`: chosen items that have the value.
        codes: `[B, n, V] int32`, -1 for none.
        chosen: `[B] int32`.

    Returns:
        `[B, n, V] int32`.
    """
    of_chosen = tf.gather(codes, chosen, batch_dims=1)
    shares = tf.reduce_any(codes[..., None] == of_chosen[:, None, None, :], axis=-1) & (codes != _NO_VALUE)
    return counts + tf.cast(shares, tf.int32)
