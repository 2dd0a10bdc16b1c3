"""Histories and their companions against plain Python."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from features.encoding.history import assert_aligned, last_companions
from features.encoding.schema_encoder import SchemaEncoder
from features.schema import Schema

INDEX = {"": 0, "nope": 1, "i0": 2, "i1": 3, "i2": 4, "i3": 5, "i4": 6}  # `nope` is outside the vocabulary
LENGTH = 4  # of the schema's history


@given(st.lists(st.lists(st.sampled_from(sorted(INDEX)), max_size=7), min_size=1, max_size=4))
def test_history_keeps_the_last_items_in_order_and_drops_gaps(
    encoder: SchemaEncoder, schema: Schema, rows: list[list[str]]
) -> None:
    ragged = tf.ragged.constant(rows, dtype=tf.string, ragged_rank=1)
    expected = []
    for row in rows:
        kept = [INDEX[item] for item in row if item][-LENGTH:]
        expected.append(kept + [0] * (LENGTH - len(kept)))
    assert encoder.encode(schema.history, ragged).numpy().tolist() == expected
    assert encoder.encode(schema.history, ragged.to_tensor()).numpy().tolist() == expected


def test_history_of_no_columns_is_empty(encoder: SchemaEncoder, schema: Schema) -> None:
    assert encoder.encode(schema.history, tf.zeros([2, 0], tf.string)).numpy().tolist() == [[0] * LENGTH] * 2


def test_history_shares_the_item_table(encoder: SchemaEncoder, schema: Schema) -> None:
    history, item = encoder.encoded(schema.history), encoder.encoded(schema.item_id_feature)
    assert (history.table, history.num_indices) == (item.table, item.num_indices)


@given(
    st.lists(st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=5, max_size=5), min_size=1, max_size=3),
    st.integers(0, 7),
)
@settings(max_examples=25)
def test_companions_of_a_history_keep_their_places(history: list[list[str]], width: int) -> None:
    # Each entry's companion is the number of its place, so it can be told whose it is; some requests send too few.
    numbers = np.tile(np.arange(1, width + 1), (len(history), 1)).reshape(len(history), width)
    found = last_companions(tf.constant(numbers, tf.int64), tf.constant(history), 3).numpy()
    for row, items in zip(found, history, strict=True):
        places = [place + 1 for place, item in enumerate(items) if item != ""][-3:]
        expected = [place if place <= width else 0 for place in places]
        assert row.tolist() == expected + [0] * (3 - len(expected))


HISTORY = [["a", "", "c", ""], ["a", "", "", ""]]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([[1, 2, 3, 0], [1, 0, 0, 0]], None),
        ([[1, 0, 3], [1, 0, 0]], None),
        ([[0], [0]], None),
        ([[0], [4]], None),  # none for the first query, and all for the second
        ([[], []], None),
        ([[1, 0, 3, 4], [1, 0, 0, 0]], (4, 3)),
        ([[1, 2, 3, 0], [1, 2, 0, 0]], (2, 1)),
        ([[1, 2], [1, 0]], (2, 3)),
        ([[1, 0, 3, 0, 0, 6], [0] * 6], (6, 3)),
    ],
)
def test_another_number_of_companions_than_items_is_refused(
    times: list[list[int]], expected: tuple[int, int] | None
) -> None:
    @tf.function
    def check(companion: tf.Tensor, history: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([assert_aligned("times", companion, "history", history)]):
            return tf.identity(history)

    companion = tf.constant(times, tf.int64, shape=(2, len(times[0])))
    if expected is None:
        check(companion, tf.constant(HISTORY))
        return
    message = (
        f"times must have one value for each item of history, or none at all; values:.*{expected[0]}.*{expected[1]}"
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        check(companion, tf.constant(HISTORY))


@pytest.mark.parametrize(("kinds", "refused"), [(["view"], True), (["view", "buy"], False), (["", ""], False)])
def test_companions_that_are_strings_are_compared_too(kinds: list[str], refused: bool) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) if refused else contextlib.nullcontext():
        assert_aligned("kinds", tf.constant([kinds]), "history", tf.constant([["a", "b"]]))


def test_companions_of_no_queries_fit() -> None:
    assert_aligned("times", tf.zeros([0, 3], tf.int64), "history", tf.constant("", shape=[0, 2]))
