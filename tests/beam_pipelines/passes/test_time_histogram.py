import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.passes.time_histogram import TimeHistogram

_SECONDS = st.lists(st.integers(0, 4_000_000_000), min_size=1, max_size=30)


@given(st.lists(_SECONDS, min_size=1, max_size=5))
def test_merging_parts_is_one_pass_over_all(parts: list[list[int]]) -> None:
    merged = TimeHistogram.merged(TimeHistogram.of(np.array(part)) for part in parts)
    assert merged == TimeHistogram.of(np.array([second for part in parts for second in part]))


@given(_SECONDS)
def test_each_event_is_in_one_of_at_most_65536_intervals(seconds: list[int]) -> None:
    histogram = TimeHistogram.of(np.array(seconds))
    assert histogram.total == len(seconds)
    assert set(histogram.intervals) == {second >> histogram.log2_seconds for second in seconds}
    assert histogram.intervals[-1] - histogram.intervals[0] < 65536


def test_a_short_span_is_counted_to_the_second() -> None:
    histogram = TimeHistogram.of(np.array([1_000_000_000, 1_000_065_535, 1_000_065_535]))
    assert histogram == TimeHistogram(log2_seconds=0, intervals=(1_000_000_000, 1_000_065_535), counts=(1, 2))


@pytest.mark.parametrize(("share", "first"), [(0.0, 110), (0.1, 109), (0.25, 107), (0.3, 107), (0.5, 105), (1.0, 100)])
def test_the_cut_leaves_the_latest_share(share: float, first: int) -> None:
    # Ten events, one a second: a share of a quarter is equally near to two and to three; the later cut is taken.
    histogram = TimeHistogram.of(np.arange(100, 110))
    assert histogram.cut(share) == (first + 1 if share == 0.25 else first)


def test_events_of_one_moment_stay_together() -> None:
    assert TimeHistogram.of(np.array([1, 2, 2, 2, 3])).cut(0.4) == 3
    assert TimeHistogram.of(np.array([1, 2, 2, 2, 3])).cut(0.6) == 2


def test_no_events_no_cut() -> None:
    assert TimeHistogram.merged([TimeHistogram.of(np.array([], np.int64))]).cut(0.5) == 0


@given(_SECONDS, st.integers(1, 20))
def test_coarsening_keeps_all_events_in_no_more_intervals_than_wanted(seconds: list[int], wanted: int) -> None:
    fine = TimeHistogram.of(np.array(seconds))
    coarse = fine.coarsened(wanted)
    assert coarse.total == fine.total
    assert coarse.intervals[-1] - coarse.intervals[0] < wanted
    assert set(coarse.intervals) == {second >> coarse.log2_seconds for second in seconds}
