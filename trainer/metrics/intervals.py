"""How far a mean over queries can be trusted: bootstrap intervals, paired tests, spread over seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from trainer.metrics.protocol import UNKNOWN, Int

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value and the bounds of its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedTest:
    """A metric's mean difference to a baseline over the same queries."""

    difference: Interval
    """Model minus baseline."""
    p_value: float
    """P-value of the two-sided paired t-test; 1 if no user differs or there is only one."""


@dataclass(frozen=True)
class SeedSpread:
    """A metric over runs that differ in their seed alone."""

    mean: float
    standard_deviation: float
    """Standard deviation of the sample (divided by runs - 1); 0 for a single run."""
    low: float
    """The lowest run."""
    high: float
    """The highest run."""
    num_seeds: int


def bootstrap_means(
    metrics: Mapping[str, Values],
    groups: Int | None = None,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile bootstrap of the means of metrics over queries (Efron and Tibshirani, 1993, chapter 13).

    All metrics are resampled together: one draw serves them all.

    Args:
        metrics: `[queries] float64` a metric, one query or more.
        groups: `[queries] int64`: the number, from 0, of the user that each query belongs to; whole users are drawn,
            because queries of one user resemble each other. None takes each query for a user.
        resamples: resamples drawn.
        confidence: share of the resampled means inside the interval.
        seed: Seed of the resampling.

    Raises:
        ValueError: if there are no queries.
    """
    if not metrics:
        return {}
    values = np.stack(list(metrics.values()), axis=1)
    if len(values) == 0:
        raise ValueError("there are no queries to average over")
    counted = _sum_by_group(np.column_stack([values, np.ones(len(values))]), groups)
    sums = np.stack([weights @ counted for weights in bootstrap_weights(len(counted), resamples, seed)])
    means = sums[:, :-1] / sums[:, -1:]
    return {
        name: percentile_interval(float(values[:, column].mean()), means[:, column], confidence)
        for column, name in enumerate(metrics)
    }


def user_groups(user_rows: Int) -> Int:
    """`[queries] int64`: numbers the users from 0; each query of an unknown user counts as another user's."""
    distinct = np.where(user_rows == UNKNOWN, -1 - np.arange(len(user_rows)), user_rows)
    groups: Int = np.unique(distinct, return_inverse=True)[1].astype(np.int64)
    return groups


def bootstrap_weights(num_rows: int, resamples: int, seed: int) -> Iterator[Values]:
    """Yields, `resamples` times, how often each row is drawn when `num_rows` are drawn: `[num_rows] float64`."""
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(rng.integers(num_rows, size=num_rows), minlength=num_rows).astype(np.float64)


def percentile_interval(value: float, resampled: Values, confidence: float) -> Interval:
    """The interval between the outer quantiles of resampled values (`[resamples] float64`)."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return Interval(value, float(low), float(high))


def paired_test(
    values: Values, baseline: Values, groups: Int | None = None, *, confidence: float = 0.95, seed: int = 0
) -> PairedTest:
    """Compares a model with a baseline over the same queries.

    The t-test is the recommended one for such metrics: Urbano, Lima and Hanjalic, "Statistical Significance Testing in
    Information Retrieval", SIGIR 2019 (https://arxiv.org/abs/1905.11096). It is over the mean differences of users.

    Args:
        values: `[queries] float64`: the model's.
        baseline: `[queries] float64`: the baseline's, in the same order.
        groups: `[queries] int64`: as `bootstrap_means` takes it.
        confidence: Level of the bootstrap interval of the difference.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: if the lengths differ or there are no queries.
    """
    if len(values) != len(baseline):
        raise ValueError(f"paired values must belong to the same queries, got {len(values)} and {len(baseline)}")
    difference = values - baseline
    interval = bootstrap_means({"all": difference}, groups, confidence=confidence, seed=seed)["all"]
    sums = _sum_by_group(np.column_stack([difference, np.ones(len(difference))]), groups)
    by_user = sums[:, 0] / sums[:, 1]
    # Without variance the statistic is infinite or 0/0; one user, or none that differs, proves nothing.
    if len(by_user) < 2 or not by_user.any():
        return PairedTest(interval, 1.0)
    if np.ptp(by_user) == 0.0:
        return PairedTest(interval, 0.0)
    return PairedTest(interval, float(stats.ttest_1samp(by_user, 0.0).pvalue))


def seed_spread(values: Sequence[float]) -> SeedSpread:
    """Summarises one metric over seeds.

    Raises:
        ValueError: if there are no values.
    """
    if not values:
        raise ValueError("the spread over seeds needs one value or more")
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return SeedSpread(float(np.mean(values)), deviation, min(values), max(values), len(values))


def _sum_by_group(values: Values, groups: Int | None) -> Values:
    """`[groups, columns] float64`: the sums over the rows of each group of `values` (`[rows, columns] float64`)."""
    if groups is None:
        return values
    sums = np.zeros((int(groups.max(initial=-1)) + 1, values.shape[1]))
    np.add.at(sums, groups, values)
    return sums
