"""Places that are kept for new items."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.reranking.new_items import num_places, reserve_places


def reserved(rows: list[int], new_rows: list[int], count: int, new: set[int]) -> tuple[list[int], list[bool]]:
    """The list of one query with its places for new items, by row, and which were explored."""
    is_new = [row in new for row in rows]
    found = reserve_places(tf.constant([rows]), tf.constant([is_new]), tf.constant([new_rows]), tf.constant([count]))
    both = rows + new_rows
    return [both[place] for place in found.places[0].numpy()], found.is_explored[0].numpy().tolist()


@pytest.mark.parametrize(
    ("rows", "new_rows", "count", "expected"),
    [
        ([1, 2, 3, 4], [91, 92], 0, [1, 2, 3, 4]),
        ([1, 2, 3, 4], [91, 92], 1, [1, 2, 3, 91]),
        ([1, 2, 3, 4], [91, 92], 2, [1, 2, 91, 92]),
        # As many as there are, padding left out.
        ([1, 2, 3, 4], [91, -1], 3, [1, 2, 3, 91]),
        ([1, 2, 3, 4], [-1, -1], 3, [1, 2, 3, 4]),
        # What the list holds already counts, keeps its place and is not added again.
        ([1, 91, 3, 4], [91, 92], 1, [1, 91, 3, 4]),
        ([1, 91, 3, 4], [91, 92], 2, [1, 91, 3, 92]),
        ([1, 2, 3, 91], [92, 93], 2, [1, 2, 91, 92]),
        # Padding gives way before any item does.
        ([1, 2, -1, -1], [91, 92], 1, [1, 2, 91, -1]),
        ([1, 2, -1, -1], [91, 92], 3, [1, 2, 91, 92]),
        # The whole list.
        ([1, 2], [91, 92, 93], 2, [91, 92]),
    ],
)
def test_new_items_take_the_last_places(rows: list[int], new_rows: list[int], count: int, expected: list[int]) -> None:
    found, is_explored = reserved(rows, new_rows, count, new={91, 92, 93})
    assert found == expected
    assert is_explored == [row > 90 and row not in rows for row in expected]


def test_queries_of_a_batch_do_not_mix() -> None:
    rows = tf.constant([[1, 2, 3], [4, 5, 6]])
    new_rows = tf.constant([[91, 92], [93, 94]])
    found = reserve_places(rows, tf.zeros([2, 3], tf.bool), new_rows, tf.constant([2, 1]))
    both = tf.gather(tf.concat([rows, new_rows], axis=1), found.places, batch_dims=1)
    assert both.numpy().tolist() == [[1, 91, 92], [4, 5, 93]]


def test_a_share_is_reached_on_average_and_the_same_key_gets_the_same_places() -> None:
    keys = tf.constant([f"u{n}" for n in range(4000)])
    places = num_places(tf.fill([4000], 0.125), tf.constant(10), keys).numpy()
    assert set(places) == {1, 2}
    # 1.25 places on average: a binomial of 4,000 draws has a standard deviation of 0.007.
    assert places.mean() == pytest.approx(1.25, abs=0.035)
    np.testing.assert_array_equal(places, num_places(tf.fill([4000], 0.125), tf.constant(10), keys).numpy())


@pytest.mark.parametrize("whole", range(11))
def test_whole_places_need_no_chance(whole: int) -> None:
    keys = tf.constant([f"u{n}" for n in range(500)])
    places = num_places(tf.fill([500], tf.constant(whole / 10, tf.float32)), tf.constant(10), keys).numpy()
    assert set(places) == {whole}
