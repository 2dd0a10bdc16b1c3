"""Counts of items as of a moment, against counting one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.cascade.counts import ITEM_COLUMNS, ItemCounts, RefreshedCounts

DAY = 86_400
EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400 * DAY)), max_size=30)


def counts_of(events: list[tuple[int, int]]) -> ItemCounts:
    rows, times = (np.array(column, np.int64) for column in (zip(*events, strict=True) if events else ((), ())))
    return ItemCounts(rows=rows, times=times, is_repeated=times % 3 == 0, num_items=4)


def test_counts_are_of_the_days_before_the_newest_event() -> None:
    columns = counts_of([(0, 0), (0, 300 * DAY), (0, 399 * DAY), (1, 400 * DAY)]).columns()
    by_days = {"log_events": [3, 1, 0, 0], "log_events_7_days": [1, 1, 0, 0], "log_events_120_days": [2, 1, 0, 0]}
    assert set(columns) == set(ITEM_COLUMNS)
    for name, counts in by_days.items():
        np.testing.assert_allclose(columns[name], np.log1p(counts), rtol=1e-6)
    second = 1 / DAY
    np.testing.assert_allclose(columns["log_days_known"], np.log1p([400 + second, second, 0, 0]), rtol=1e-6)
    np.testing.assert_allclose(columns["log_days_untaken"], np.log1p([1 + second, second, 0, 0]), rtol=1e-5)
    np.testing.assert_allclose(columns["repeated_share"], [3 / (3 + 5), 1 / (1 + 5), 0, 0], rtol=1e-6)


@given(events=EVENTS.filter(len), days=st.sampled_from([0.5, 1.0, 30.0]))
def test_what_is_served_is_what_the_next_refresh_knows(events: list[tuple[int, int]], days: float) -> None:
    newest, counts = max(time for _, time in events), counts_of(events)
    asked_at = np.array([newest + round(days * DAY)])  # between the next refresh and the one after it
    expected = RefreshedCounts(counts, days).columns(np.arange(4, dtype=np.int32)[None], asked_at)[0]
    found = np.stack([*counts.columns(days).values()], axis=1)
    np.testing.assert_array_equal(found, expected)


@given(events=EVENTS, asked_at=st.integers(0, 600 * DAY), days=st.sampled_from([0.5, 1.0, 30.0]))
def test_a_refresh_knows_what_came_before_it_and_nothing_else(
    events: list[tuple[int, int]], asked_at: int, days: float
) -> None:
    rows = np.array([[3, 0, -1, 1]], np.int32)
    found = RefreshedCounts(counts_of(events), days).columns(rows, np.array([asked_at]))[0]
    refresh = asked_at - asked_at % round(days * DAY)
    windows = {"log_events": np.inf} | {f"log_events_{days}_days": days for days in (1, 3, 7, 14, 30, 120, 365)}
    for values, row in zip(found, rows[0], strict=True):
        by_name = dict(zip(ITEM_COLUMNS, values, strict=True))
        known = [t for item, t in events if item == row and t < refresh]
        for name, window in windows.items():
            within = [t for t in known if refresh - window * DAY <= t]
            assert by_name[name] == pytest.approx(np.log1p(len(within)), rel=1e-6)
        first, last = (np.log1p((refresh - of(known)) / DAY) if known else 0.0 for of in (min, max))
        assert by_name["log_days_known"] == pytest.approx(first, rel=1e-6)
        assert by_name["log_days_untaken"] == pytest.approx(last, rel=1e-6)
        repeats = sum(t % 3 == 0 for t in known)
        assert by_name["repeated_share"] == pytest.approx(repeats / (len(known) + 5), rel=1e-6)


def test_events_that_are_planted_at_the_refresh_or_later_change_nothing() -> None:
    events = [(0, 10 * DAY), (1, 39 * DAY), (2, 40 * DAY - 1)]
    planted = [*events, *((item, 40 * DAY + item) for item in range(4) for _ in range(5))]
    rows, asked_at = np.arange(4, dtype=np.int32)[None], np.array([40 * DAY + 3600])
    before, after = (RefreshedCounts(counts_of(each), 1.0).columns(rows, asked_at) for each in (events, planted))
    np.testing.assert_array_equal(before, after)
    later = RefreshedCounts(counts_of(planted), 1.0).columns(rows, asked_at + DAY)
    assert (later[..., 0] > before[..., 0]).all()  # the day after they count


def test_the_order_of_the_events_does_not_matter() -> None:
    events = [(2, 50 * DAY), (0, 10 * DAY), (2, 3 * DAY)]
    rows, asked_at = np.arange(4, dtype=np.int32)[None], np.array([60 * DAY])
    one, other = (RefreshedCounts(counts_of(each), 1.0).columns(rows, asked_at) for each in (events, events[::-1]))
    np.testing.assert_array_equal(one, other)
