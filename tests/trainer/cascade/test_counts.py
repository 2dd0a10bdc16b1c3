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
    return ItemCounts(rows=rows, times=times, num_items=4)


def test_counts_are_of_the_days_before_the_newest_event() -> None:
    columns = counts_of([(0, 0), (0, 300 * DAY), (0, 399 * DAY), (1, 400 * DAY)]).columns()
    by_days = {"log_events": [3, 1, 0, 0], "log_events_7_days": [1, 1, 0, 0], "log_events_120_days": [2, 1, 0, 0]}
    assert set(columns) == set(ITEM_COLUMNS)
    for name, counts in by_days.items():
        np.testing.assert_allclose(columns[name], np.log1p(counts), rtol=1e-6)


@given(events=EVENTS, asked_at=st.integers(0, 600 * DAY), days=st.sampled_from([0.5, 1.0, 30.0]))
def test_a_refresh_knows_what_came_before_it_and_nothing_else(
    events: list[tuple[int, int]], asked_at: int, days: float
) -> None:
    rows = np.array([[3, 0, -1, 1]], np.int32)
    found = RefreshedCounts(counts_of(events), days).columns(rows, np.array([asked_at]))[0]
    refresh = asked_at - asked_at % round(days * DAY)
    for place, row in enumerate(rows[0]):
        for column, window in enumerate((np.inf, 7, 30, 120)):
            known = [t for item, t in events if item == row and refresh - window * DAY <= t < refresh]
            assert found[place, column] == pytest.approx(np.log1p(len(known)), rel=1e-6)


def test_the_order_of_the_events_does_not_matter() -> None:
    events = [(2, 50 * DAY), (0, 10 * DAY), (2, 3 * DAY)]
    rows, asked_at = np.arange(4, dtype=np.int32)[None], np.array([60 * DAY])
    one, other = (RefreshedCounts(counts_of(each), 1.0).columns(rows, asked_at) for each in (events, events[::-1]))
    np.testing.assert_array_equal(one, other)
