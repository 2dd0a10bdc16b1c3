"""What the second stage is given of a history."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.export.orders import entries_at, last_entries

HISTORY = tf.constant([[3, -1, 4, 5, -1], [6, 7, 8, 9, 1], [-1, -1, -1, -1, -1]])


@pytest.mark.parametrize(
    ("length", "places", "kept"),
    [
        (2, [[2, 3], [3, 4], [-1, -1]], [[4, 5], [9, 1], [-1, -1]]),
        (4, [[0, 2, 3, -1], [1, 2, 3, 4], [-1] * 4], [[3, 4, 5, -1], [7, 8, 9, 1], [-1] * 4]),
        (9, [[0, 2, 3, -1, -1], [0, 1, 2, 3, 4], [-1] * 5], [[3, 4, 5, -1, -1], [6, 7, 8, 9, 1], [-1] * 5]),
    ],
)
def test_the_last_known_items_stay_wherever_padding_and_unknown_items_lie(
    length: int, places: list[list[int]], kept: list[list[int]]
) -> None:
    found = last_entries(HISTORY, length)
    np.testing.assert_array_equal(found, places)
    np.testing.assert_array_equal(entries_at(found, HISTORY, -1), kept)


def test_times_go_with_their_items() -> None:
    times = tf.constant([[30, 0, 40, 50, 60]], tf.int64)
    np.testing.assert_array_equal(entries_at(last_entries(HISTORY[:1], 4), times, 0), [[30, 40, 50, 0]])


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_histories_of_nobody_and_of_no_width(shape: tuple[int, int]) -> None:
    history = tf.zeros(shape, tf.int32) - 1
    found = last_entries(history, 2)
    np.testing.assert_array_equal(entries_at(found, history, -1), np.full((shape[0], min(2, shape[1])), -1))
