import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.config import CleaningConfig
from beam_pipelines.passes.cleaning import bot_events, near_duplicates
from beam_pipelines.passes.user_history_features import derived_features, session_starts

_DAY = 86_400


def test_a_repetition_within_the_gap_is_a_near_duplicate_and_the_first_stays() -> None:
    times = np.array([0, 5, 10, 30, 6, 7])
    items = np.array([1, 1, 1, 1, 2, 1])
    users = np.array([1, 1, 1, 1, 1, 2])
    found = near_duplicates([items, users], times, CleaningConfig(duplicate_seconds=5))
    # 0, 5 and 10 are a row of repetitions; 30 comes later, and another item or user is no repetition.
    assert found.tolist() == [False, True, True, False, False, False]


def test_another_event_type_is_no_repetition() -> None:
    found = near_duplicates(
        [np.array([0, 1]), np.zeros(2), np.zeros(2)], np.zeros(2), CleaningConfig(duplicate_seconds=9)
    )
    assert found.tolist() == [False, False]


@pytest.mark.parametrize("mask", [near_duplicates, bot_events])
def test_nothing_is_cleaned_unless_it_is_asked_for(mask) -> None:
    keys = [np.zeros(3)] if mask is near_duplicates else np.zeros(3)
    assert not mask(keys, np.zeros(3), CleaningConfig()).any()
    assert mask([np.zeros(0)] if mask is near_duplicates else np.zeros(0), np.zeros(0), CleaningConfig()).shape == (0,)


_EVENTS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=40)


@given(_EVENTS, st.integers(1, 4))
def test_a_bot_is_cut_off_from_its_first_surplus_on(events: list[tuple[int, int]], limit: int) -> None:
    events = sorted(events)
    users = np.array([user for user, _ in events], np.int64)
    times = np.array([day * _DAY for _, day in events], np.int64)
    found = bot_events(users, times, CleaningConfig(max_events_per_day=limit)).tolist()
    expected = []
    for place, (user, _) in enumerate(events):
        seen = [event for event in events[: place + 1] if event[0] == user]
        expected.append(any(seen.count(event) > limit for event in seen))
    assert found == expected


def derived(times: list[int], positive: list[bool], kind: str) -> list[float]:
    """Of two users: the first has all events but the last."""
    found = derived_features(
        np.array([0, len(times) - 1, len(times)]),
        np.array(times),
        np.array(positive),
        wanted={"x": kind},
        session_gap_seconds=10,
    )
    return found["x"].tolist()


def test_counters_hold_what_was_known_strictly_before() -> None:
    times = [100, 100, 105, 130, 131, 50]
    positive = [True, False, True, True, True, True]
    assert derived(times, positive, "user_events") == [0, 0, 1, 2, 3, 0]
    np.testing.assert_array_equal(
        derived(times, positive, "seconds_since_previous"), [np.nan, np.nan, 5, 25, 1, np.nan]
    )
    # A pause of more than ten seconds begins a session; events of one moment do not see each other.
    assert derived(times, positive, "session_position") == [0, 0, 2, 0, 1, 0]


def test_a_session_ends_with_a_pause_longer_than_the_gap() -> None:
    begins = np.array([True, False, False, False])
    assert session_starts(begins, np.array([0, 10, 21, 22]), 10).tolist() == [True, False, True, False]
