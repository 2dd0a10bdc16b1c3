import numpy as np
import pytest

from features.errors import ConfigError
from trainer.baselines.popularity import Popularity, RecentPopularity
from trainer.metrics.protocol import Interactions

# Item 0 was taken three times long ago, item 1 twice just now, item 2 never.
EVENTS = Interactions.from_events(
    np.array([0, 1, 2, 0, 1]), np.array([0, 0, 0, 1, 1]), np.array([0, 0, 0, 100, 100]), num_users=3, num_items=3
)


def test_popularity_counts_events() -> None:
    np.testing.assert_array_equal(Popularity().fit(EVENTS).item_scores, [3, 2, 0])


def test_recent_popularity_halves_after_each_half_life() -> None:
    scores = RecentPopularity(half_life=0.5).fit(EVENTS).item_scores
    np.testing.assert_allclose(scores, [3 * 0.25, 2, 0])


def test_half_life_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="half_life"):
        RecentPopularity(half_life=0.0)
