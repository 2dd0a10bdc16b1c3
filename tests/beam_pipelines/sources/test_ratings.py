import numpy as np
import pytest

from beam_pipelines.sources.ratings import not_rated, rating_levels

SCALE = {f"{level}": 100 for level in range(1, 11)}


@pytest.mark.parametrize("lone", [-1, -99, -5])
def test_a_value_below_zero_is_no_rating(lone: int) -> None:
    assert not_rated(SCALE | {f"{lone}": 7}) == lone


@pytest.mark.parametrize("lone", [99, 1000, 20])
def test_a_value_far_above_the_scale_is_no_rating(lone: int) -> None:
    assert not_rated(SCALE | {f"{lone}": 7}) == lone


@pytest.mark.parametrize(("lone", "count"), [(0, 5000), (0, 101)])
def test_a_zero_more_frequent_than_any_rating_is_none(lone: int, count: int) -> None:
    assert not_rated(SCALE | {f"{lone}": count}) == lone


@pytest.mark.parametrize(
    "counts", [SCALE, SCALE | {"0": 90}, {"0": 50, "1": 9}, {"0.5": 9, "1": 1, "1.5": 3, "2": 4}, {}]
)
def test_a_scale_without_a_gap_has_none(counts: dict[str, int]) -> None:
    assert not_rated(counts) is None


def test_numbers_that_are_no_scale_have_no_levels() -> None:
    assert rating_levels(np.arange(102.0)) == {}
    assert rating_levels(np.array([1.5, 1.5, -1])) == {"-1": 1, "1.5": 2}


def test_a_value_far_from_many_ratings_is_none_and_gaps_among_them_tell_nothing() -> None:
    fine = np.sort(np.random.default_rng(0).uniform(-10, 10, 500))
    assert not_rated(rating_levels(np.append(fine, 99), most=501)) == 99
    assert not_rated(rating_levels(fine, most=500)) is None
