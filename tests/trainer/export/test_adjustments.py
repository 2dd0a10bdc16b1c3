"""How often a candidate was shown."""

import tensorflow as tf

from trainer.export.adjustments import times_shown


def test_an_item_is_counted_as_often_as_it_is_named():
    rows = tf.constant([[3, 4, -1], [4, 5, 3]])
    shown = tf.constant([[3, 3, -1, 4], [-1, -1, -1, -1]])
    assert times_shown(rows, shown).numpy().tolist() == [[2, 1, 0], [0, 0, 0]]


def test_one_list_stands_for_the_whole_batch():
    assert times_shown(tf.constant([[3, 4], [4, 5]]), tf.constant([[4, 5, 5]])).numpy().tolist() == [[0, 1], [1, 2]]


def test_nothing_was_shown():
    assert times_shown(tf.constant([[3, -1]]), tf.zeros([1, 0], tf.int32)).numpy().tolist() == [[0, 0]]
