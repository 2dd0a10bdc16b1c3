"""Tables of the list ranker against their formulas."""

import numpy as np
import pytest

from trainer.cascade.tables import SIMILARITIES, followers, layout_of, names_apart
from trainer.metrics.protocol import Interactions


def test_followers_weigh_by_steps_direction_and_counts() -> None:
    users, items = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 2, 0])
    interactions = Interactions.from_events(users, items, np.arange(5), num_users=2, num_items=3)
    table = followers(interactions, steps=2, decay=0.7, backward=0.5).toarray()
    scale = np.array([2, 1, 2]) ** -0.3
    # User 0 takes 0, 1, 2, so 2 follows 0 two steps later; user 1 takes 2, then 0. Users never follow each other.
    pairs = np.array([[0, 1, 0.7 + 0.5], [0.5, 0, 1], [0.5 * 0.7 + 1, 0.5, 0]])
    np.testing.assert_allclose(table, pairs * scale[:, None] * scale, rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 2])
def test_followers_forward_only_and_within_the_steps(steps: int) -> None:
    interactions = Interactions.from_events(np.zeros(3, int), np.arange(3), np.arange(3), num_users=1, num_items=3)
    table = followers(interactions, steps=steps, decay=1.0, backward=0.0).toarray()
    expected = np.triu(np.ones((3, 3)), 1) - np.triu(np.ones((3, 3)), 1 + steps)
    np.testing.assert_allclose(table, expected)


def test_an_item_feature_called_as_a_group_is_kept_apart() -> None:
    features = ["genres", "als", "popularity", "retrieval", "repeats", "request", "item_als", "taken"]
    names = names_apart(features)
    assert names["genres"] == "genres"
    assert names["item_als"] == "item_als"
    assert names["als"] == "item_item_als"
    assert names["taken"] == "item_taken"  # its `taken_lately` would be a feature of the repeats
    layout = layout_of(names.values(), with_times=True)
    assert len(set(layout.names)) == len(layout.names)
    assert len(set(layout.groups)) == len({*SIMILARITIES, "retrieval", "repeats", "popularity"}) + len(features)
