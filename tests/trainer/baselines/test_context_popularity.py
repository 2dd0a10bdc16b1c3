import numpy as np
import pytest

from features.errors import ConfigError, InputError
from tests.ragged import ragged as ragged_rows
from trainer.baselines.context_popularity import ContextPopularity
from trainer.metrics.protocol import EvaluationSet, Interactions

# In country 1 item 0 was taken three times, in country 2 item 1 once; nobody took item 2.
EVENTS = Interactions(
    user_rows=np.array([0, 0, 0, 1]),
    item_rows=np.array([0, 0, 0, 1]),
    timestamps=np.array([0, 0, 100, 100]),
    weights=np.ones(4, np.float32),
    num_users=2,
    num_items=3,
    context=np.array([1, 1, 1, 2]),
)


def asked_in(*contexts: int) -> EvaluationSet:
    nothing = ragged_rows([[]] * len(contexts))
    return EvaluationSet(
        user_rows=np.full(len(contexts), -1),
        history=nothing,
        history_timestamps=np.empty(0, np.int64),
        seen=nothing,
        targets=ragged_rows([[2]] * len(contexts)),
        num_items=3,
        context=np.array(contexts),
    )


def test_counts_of_the_context_are_shrunk_towards_those_of_all() -> None:
    scores = ContextPopularity(strength=4.0).fit(EVENTS).score(asked_in(1, 2))
    overall = np.array([3 / 4, 1 / 4, 0])
    expected = [(np.array([3, 0, 0]) + 4 * overall) / (3 + 4), (np.array([0, 1, 0]) + 4 * overall) / (1 + 4)]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_a_strong_prior_orders_as_popularity_does_and_a_weak_one_as_the_context() -> None:
    weak, strong = (ContextPopularity(strength=strength).fit(EVENTS) for strength in (1e-3, 1e6))
    assert weak.score(asked_in(2)).argmax() == 1
    assert strong.score(asked_in(2)).argmax() == 0


@pytest.mark.parametrize("context", [0, 3, 99])
def test_a_context_without_training_events_has_the_order_of_all(context: int) -> None:
    scores = ContextPopularity().fit(EVENTS).score(asked_in(context))
    np.testing.assert_allclose(scores, [[3 / 4, 1 / 4, 0]], rtol=1e-6)


def test_an_event_counts_half_after_each_half_life() -> None:
    scores = ContextPopularity(strength=1.0, half_life=0.5).fit(EVENTS).score(asked_in(1))
    # The two old events are two half-lives old: 1.5 events in the country, and 2.5 of all.
    overall = np.array([1.5 / 2.5, 1 / 2.5, 0])
    np.testing.assert_allclose(scores, [(np.array([1.5, 0, 0]) + overall) / 2.5], rtol=1e-6)


def test_events_or_queries_without_a_context_are_refused_with_what_to_do() -> None:
    without = Interactions.from_events(np.array([0]), np.array([0]), np.array([0]), num_users=1, num_items=3)
    with pytest.raises(InputError, match="leave `context_popularity` out"):
        ContextPopularity().fit(without)


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="strength = 0"):
        ContextPopularity(strength=0.0)
    with pytest.raises(ConfigError, match="half_life = -1"):
        ContextPopularity(half_life=-1.0)
