import numpy as np
import pytest

from features.errors import ConfigError
from tests.ragged import ragged as ragged_rows
from trainer.baselines.repeat import Repeat
from trainer.metrics.protocol import EvaluationSet, Interactions

# Train spans 100 seconds; items 2 and 3 are the popular ones at its end.
EVENTS = Interactions.from_events(
    np.array([0, 1, 0, 1, 2]), np.array([0, 1, 2, 2, 3]), np.array([0, 0, 100, 100, 100]), num_users=3, num_items=4
)


def queries(items: list[int], times: list[int]) -> EvaluationSet:
    """One that took the items at the times, and one without a history."""
    history = ragged_rows([items, []])
    return EvaluationSet(
        user_rows=np.array([0, -1]),
        history=history,
        history_timestamps=np.array(times),
        seen=history.distinct(),
        targets=ragged_rows([[0], [0]]),
        num_items=4,
    )


def test_the_most_frequent_items_of_the_history_come_first_then_the_popular_ones() -> None:
    scores = Repeat(half_life=1000.0).fit(EVENTS).score(queries([1, 0, 1], [100, 100, 100]))
    assert np.argsort(-scores, axis=1, kind="stable").tolist() == [[1, 0, 2, 3], [2, 3, 0, 1]]


def test_an_event_of_the_history_halves_after_each_half_life() -> None:
    scores = Repeat(half_life=0.5).fit(EVENTS).score(queries([1, 1, 0], [0, 50, 150]))
    np.testing.assert_allclose(scores[0, :2], [1.0, 2**-3 + 2**-2], atol=1e-3)


def test_half_lives_must_be_positive() -> None:
    with pytest.raises(ConfigError, match=r"repeat\.popularity_half_life"):
        Repeat(popularity_half_life=0.0)
