import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.passes.profile_facts import bucket_name, length_bucket, sum_counts


@pytest.mark.parametrize(
    ("length", "name"),
    [(0, "0"), (1, "1"), (2, "2"), (3, "3-4"), (4, "3-4"), (5, "5-8"), (8, "5-8"), (9, "9-16"), (1025, "1,025-2,048")],
)
def test_a_length_is_in_the_bucket_that_names_it(length: int, name: str) -> None:
    assert bucket_name(int(length_bucket(np.array([length]))[0])) == name


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=4))
def test_counts_of_different_length_add_up(parts: list[list[int]]) -> None:
    total = sum_counts(map(tuple, parts))
    assert sum(total) == sum(map(sum, parts))
    assert len(total) == max(map(len, parts), default=0)
