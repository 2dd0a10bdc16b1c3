"""Rows of two datasets' tables are matched by what they stand for."""

import numpy as np
import pytest

from features.encoding.statistics import NumericStatistics
from features.encoding.vocabulary import Vocabulary
from trainer.layers.tables.matched_rows import MatchedRows, match_buckets, match_tokens


def numbers(*quantiles: float, minimum: float = 0.0, maximum: float = 100.0) -> NumericStatistics:
    return NumericStatistics(
        count=9, missing=0, mean=0.0, std=1.0, minimum=minimum, maximum=maximum, quantiles=quantiles
    )


def test_tokens_are_matched_by_spelling() -> None:
    matched = match_tokens(Vocabulary(("red", "green", "blue"), 2), Vocabulary(("blue", "pink", "red"), 2))
    assert matched.former.tolist() == [0, 1, 2, 5, -1, 3]
    assert not matched.is_grown
    assert (matched.num_special, matched.num_known, matched.num_values) == (3, 2, 3)


def test_a_vocabulary_that_grew_at_its_end_has() -> None:
    assert match_tokens(Vocabulary(("red",)), Vocabulary(("red", "green"))).is_grown
    assert not match_tokens(Vocabulary(("red", "green")), Vocabulary(("red",))).is_grown


@pytest.mark.parametrize(
    ("before", "now", "former"),
    [
        (numbers(10, 20), numbers(10, 20), [0, 1, 2, 3]),
        # Middles of today's buckets: 5, 20, 65, which the former edges put into 1, 3 and 3.
        (numbers(10, 20), numbers(10, 30), [0, 1, 3, 3]),
        (numbers(10, 20), numbers(200, minimum=150, maximum=300), [0, 3, 3]),
        # All values beyond the edges: a bucket of one point.
        (numbers(10, 20), numbers(7, minimum=7, maximum=7), [0, 1, 1]),
        # No values at all, of one side or the other.
        (numbers(10, 20), numbers(minimum=0, maximum=0), [0, 1]),
        (numbers(minimum=0, maximum=0), numbers(10, 20), [0, 1, 1, 1]),
    ],
)
def test_buckets_are_matched_by_their_middles(before, now, former) -> None:
    assert match_buckets(before, now).former.tolist() == former


def test_rows_of_unknown_values_start_from_the_mean_or_as_they_would() -> None:
    old, start = np.array([[1.0, 2.0], [3.0, 6.0]], np.float32), np.full([3, 2], 9.0, np.float32)
    former = np.array([1, 0, -1])
    grown, anew = (
        MatchedRows(former=former, is_grown=is_grown, num_special=1).carry_over(old, start)
        for is_grown in (True, False)
    )
    assert grown.tolist() == [[3.0, 6.0], [1.0, 2.0], [2.0, 4.0]]
    assert anew.tolist() == [[3.0, 6.0], [1.0, 2.0], [9.0, 9.0]]
    biases = MatchedRows(former=former, is_grown=False, num_special=1).carry_over(old[:, 0], start[:, 0])
    assert biases.tolist() == [3.0, 1.0, 9.0]
