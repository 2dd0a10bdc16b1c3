import numpy as np
import pytest
from scipy import stats

from trainer.metrics.intervals import bootstrap_means, paired_test, seed_spread, user_groups


def test_interval_agrees_with_scipy_and_with_normal_theory() -> None:
    values = np.random.default_rng(0).exponential(size=500)
    ours = bootstrap_means({"x": values}, resamples=4000)["x"]
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    width = 2 * 1.96 * values.std() / np.sqrt(500)
    assert ours.value == values.mean()
    assert ours.low == pytest.approx(theirs.low, abs=0.1 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.1 * width)
    assert ours.high - ours.low == pytest.approx(width, rel=0.1)


def test_ninety_five_percent_intervals_cover_the_truth_about_as_often() -> None:
    rng = np.random.default_rng(2)
    intervals = [bootstrap_means({"x": rng.normal(size=80)}, resamples=300, seed=run)["x"] for run in range(200)]
    covered = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
    assert 0.89 <= covered <= 0.99


def test_queries_of_one_user_are_drawn_together() -> None:
    # Each user's ten queries are copies: they tell no more than one query a user does.
    by_user = np.random.default_rng(3).normal(size=60)
    repeated, groups = np.repeat(by_user, 10), np.repeat(np.arange(60), 10)
    single = bootstrap_means({"x": by_user})["x"]
    grouped = bootstrap_means({"x": repeated}, groups)["x"]
    assert grouped.low == pytest.approx(single.low)
    assert grouped.high == pytest.approx(single.high)
    other = np.zeros_like(by_user)
    assert paired_test(repeated, np.repeat(other, 10), groups).p_value == pytest.approx(
        paired_test(by_user, other).p_value
    )


def test_unknown_users_are_users_of_their_own() -> None:
    assert len(set(user_groups(np.array([-1, -1, 5, 5, 0])).tolist())) == 4
    assert user_groups(np.array([5, 5, 0])).tolist() == [1, 1, 0]


def test_metrics_are_resampled_together_and_reproducibly() -> None:
    values = np.random.default_rng(4).normal(size=50)
    both = bootstrap_means({"x": values, "y": -values}, seed=7)
    assert both["y"].low == pytest.approx(-both["x"].high)
    assert both == bootstrap_means({"x": values, "y": -values}, seed=7)


def test_paired_test_is_the_t_test_of_the_pairs() -> None:
    rng = np.random.default_rng(5)
    baseline = rng.uniform(size=100)
    values = baseline + rng.normal(0.02, 0.1, size=100)
    result = paired_test(values, baseline)
    assert result.p_value == pytest.approx(stats.ttest_rel(values, baseline).pvalue)
    assert result.difference.value == pytest.approx(np.mean(values - baseline))


@pytest.mark.parametrize(
    ("values", "baseline", "p_value"),
    [([0.5, 0.5], [0.5, 0.5], 1.0), ([1.0], [0.0], 1.0), ([1.0, 1.0, 1.0], [0.5, 0.5, 0.5], 0.0)],
)
def test_paired_test_without_variance(values: list[float], baseline: list[float], p_value: float) -> None:
    assert paired_test(np.array(values), np.array(baseline)).p_value == p_value


def test_values_of_different_queries_are_refused() -> None:
    with pytest.raises(ValueError, match="same queries"):
        paired_test(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="no queries"):
        bootstrap_means({"x": np.empty(0)})


def test_seed_spread_uses_the_deviation_of_a_sample() -> None:
    spread = seed_spread([1.0, 2.0, 3.0])
    assert (spread.mean, spread.standard_deviation, spread.low, spread.high, spread.num_seeds) == (2, 1, 1, 3, 3)
    assert seed_spread([4.0]).standard_deviation == 0
    with pytest.raises(ValueError, match="one value or more"):
        seed_spread([])
