import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.packing import pack, row_width


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(2, 9), min_size=1, max_size=60), st.integers(0, 3))
def test_every_stretch_lies_in_one_row_and_once(sizes, seed):
    starts = 100 * np.arange(len(sizes))
    packed = pack(starts, np.array(sizes), 9, np.random.default_rng(seed))
    real = packed[..., 1] >= 0
    assert sorted(packed[..., 0][real]) == sorted(s + k for s, n in zip(starts, sizes, strict=True) for k in range(n))
    # An event's position is its distance from the start of its stretch, and its neighbour is the next one.
    np.testing.assert_array_equal(packed[..., 0][real] % 100, packed[..., 1][real])
    inside = real[:, 1:] & (packed[:, 1:, 1] > 0)
    np.testing.assert_array_equal((packed[:, 1:, 0] - packed[:, :-1, 0])[inside], 1)


def test_number_of_rows_depends_on_sizes_alone():
    sizes = np.random.default_rng(0).integers(2, 20, 500)
    counts = {len(pack(np.arange(500), sizes, 32, np.random.default_rng(seed))) for seed in range(5)}
    assert len(counts) == 1
    assert counts.pop() == pytest.approx(sizes.sum() / 32, rel=0.02)


def test_row_holds_the_longest_stretch():
    assert row_width(np.array([2, 3, 50])) == 50
    assert row_width(np.array([10, 10, 12])) == 40
