"""String item ids to rows and back, as variables of a SavedModel.

The lookup is a binary search over sorted 63-bit fingerprints, verified against the id itself. A hash table would have
to be filled at each load (about a second and 100 bytes an item at a million items) and lives outside the checkpoint;
this is restored with the other variables, costs 12 bytes an item, takes ids of any bytes, and needs stock operations.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from features.errors import InputError

NUM_FINGERPRINTS = 2**63 - 1


class StringLookup(tf.Module):
    """Distinct byte strings, numbered from 0 in the order given."""

    def __init__(self, values: Sequence[bytes]) -> None:
        """Sorts the fingerprints.

        Args:
            values: distinct byte strings.

        Raises:
            InputError: a value occurs twice.
        """
        super().__init__()
        if len(set(values)) != len(values):
            raise InputError(f"{len(values)} ids hold {len(values) - len(set(values))} repetitions: expected each once")
        self.num_values = len(values)
        # Number -1, "none of them", is then read like any other.
        self._values = tf.Variable(tf.constant([b"", *values], tf.string), trainable=False, name="values")
        self._salt, fingerprints = _distinct_fingerprints(self._values[1:])
        order = np.argsort(fingerprints)
        self._fingerprints = tf.Variable(fingerprints[order], trainable=False, name="fingerprints")
        self._order = tf.Variable(order.astype(np.int32), trainable=False, name="order")

    def numbers(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the numbers `[...] int32` of byte strings `[...]`; -1 for those not known."""
        if self.num_values == 0:
            return tf.fill(tf.shape(values), -1)
        flat = tf.reshape(values, [-1])
        positions = tf.searchsorted(self._fingerprints, _fingerprints(flat, self._salt))
        numbers = tf.gather(self._order.value(), tf.minimum(positions, self.num_values - 1))
        numbers = tf.where(tf.gather(self._values.value(), numbers + 1) == flat, numbers, -1)
        return tf.reshape(numbers, tf.shape(values))


class ItemIds(StringLookup):
    """The id of each row of an index. The empty string stands for "no item" and cannot be an id."""

    def __init__(self, item_ids: Sequence[bytes]) -> None:
        """Stores the ids in row order.

        Raises:
            InputError: an id occurs twice or is empty.
        """
        if b"" in item_ids:
            raise InputError(f"item id '' at row {list(item_ids).index(b'')}: expected a non-empty id")
        super().__init__(item_ids)

    def ids(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the ids `[...] string` of rows `[...] int32`; `""` for row -1."""
        return tf.gather(self._values.value(), rows + 1)


def _fingerprints(values: tf.Tensor, salt: int) -> tf.Tensor:
    return tf.strings.to_hash_bucket_strong(values, NUM_FINGERPRINTS, key=[salt, 0])


def _distinct_fingerprints(values: tf.Tensor) -> tuple[int, "np.ndarray[tuple[int], np.dtype[np.int64]]"]:
    """Returns the first salt under which no two values collide; at a million values one salt in ten million fails."""
    salt = 0
    while True:
        fingerprints = _fingerprints(values, salt).numpy()
        if len(np.unique(fingerprints)) == len(fingerprints):
            return salt, fingerprints
        salt += 1
