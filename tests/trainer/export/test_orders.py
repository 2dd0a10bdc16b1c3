"""What the second stage is given of a history."""

import numpy as np
import tensorflow as tf

from trainer.export.orders import last_items


def test_the_last_known_items_stay_wherever_padding_and_unknown_items_lie() -> None:
    history = tf.constant([[3, -1, 4, 5, -1], [6, 7, 8, 9, 1], [-1, -1, -1, -1, -1]])
    kept = [[-1, -1, 4, 5, -1], [-1, -1, -1, 9, 1], [-1, -1, -1, -1, -1]]
    np.testing.assert_array_equal(last_items(history, 2), kept)
    np.testing.assert_array_equal(last_items(history, 5), history)
