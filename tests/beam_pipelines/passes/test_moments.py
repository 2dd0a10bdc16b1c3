import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.passes.moments import Moments, merged_quantiles, numeric_statistics

_VALUES = st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=20)


@given(st.lists(_VALUES, min_size=1, max_size=4))
def test_pieces_add_up_to_the_statistics_of_the_whole(pieces: list[list[float]]) -> None:
    whole = np.array([value for piece in pieces for value in piece], np.float64)
    present = whole[~np.isnan(whole)]
    found = numeric_statistics([Moments.of(np.array(piece, np.float64)) for piece in pieces])
    assert (found.count, found.missing) == (len(present), len(whole) - len(present))
    if len(present):
        assert found.mean == pytest.approx(present.mean(), abs=1e-6)
        assert found.std == pytest.approx(present.std(), abs=1e-3)
        assert (found.minimum, found.maximum) == (present.min(), present.max())


def test_quantile_buckets_are_equally_full_whatever_the_pieces() -> None:
    values = np.random.default_rng(0).permutation(1000).astype(np.float64)
    found = numeric_statistics([Moments.of(values[:100]), Moments.of(values[100:])], num_buckets=4)
    assert found.quantiles == (250.0, 500.0, 750.0)


def test_a_sketch_is_nearly_exact() -> None:
    values = np.random.default_rng(0).permutation(100_000).astype(np.float64)
    found = numeric_statistics([Moments.of(values[:70_000]), Moments.of(values[70_000:])], num_buckets=10)
    np.testing.assert_allclose(found.quantiles, np.arange(1, 10) * 10_000, atol=100_000 / 4096 * 2)


def test_boundaries_do_not_repeat() -> None:
    assert numeric_statistics([Moments.of(np.array([1.0, 1, 1, 1, 2]))], num_buckets=5).quantiles == (1.0, 2.0)


def test_a_column_of_nothing() -> None:
    found = numeric_statistics([Moments.of(np.array([np.nan]))], num_buckets=4)
    assert (found.count, found.missing, found.mean, found.std, found.quantiles) == (0, 1, 0.0, 0.0, ())


def test_merged_quantiles_end_with_the_extremes() -> None:
    values = np.arange(10_000.0)
    values[7] = 9e15
    found = merged_quantiles([Moments.of(values[:5000]), Moments.of(values[5000:] - 20_000)], 200)
    assert (found[0], found[-1]) == (-15_000, 9e15)
    assert list(found) == sorted(found)
