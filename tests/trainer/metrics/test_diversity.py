"""Diversity of lists by the formulas."""

from itertools import combinations

import numpy as np
import pytest

from trainer.metrics.diversity import distinct_values, intra_list_distance


def test_distance_is_the_mean_over_pairs_of_one_minus_the_cosine():
    vectors = np.random.default_rng(0).normal(size=(4, 5, 3))
    is_item = np.ones((4, 5), bool)
    is_item[1, 3:] = False
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    for found, rows, there in zip(intra_list_distance(vectors, is_item), unit, is_item, strict=True):
        pairs = combinations(rows[there], 2)
        assert found == pytest.approx(np.mean([1 - a @ b for a, b in pairs]))


@pytest.mark.parametrize(
    ("vectors", "distance"),
    [
        ([[1, 0], [3, 0]], 0.0),
        ([[1, 0], [0, 2]], 1.0),
        ([[1, 0], [-1, 0]], 2.0),
        ([[1, 0], [0, 0]], 1.0),
        ([[1, 0]], 0.0),
    ],
)
def test_distances_of_known_lists(vectors, distance):
    lists = np.array([vectors], np.float32)
    assert intra_list_distance(lists, np.ones(lists.shape[:2], bool)) == pytest.approx([distance])


def test_a_list_of_padding_alone_has_no_distance():
    assert intra_list_distance(np.ones((1, 3, 2)), np.zeros((1, 3), bool)) == [0.0]


def test_values_are_counted_once_and_padding_never():
    values = np.array([[3, 1, 3, 0], [0, 0, 0, 0], [1, 2, 3, 4], [7, 7, 7, 7]], np.int32)
    assert distinct_values(values).tolist() == [2, 0, 4, 1]
