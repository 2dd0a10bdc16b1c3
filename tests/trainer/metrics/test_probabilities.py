from math import log, sqrt

import numpy as np
import pytest

from trainer.metrics.probabilities import auc_interval, probability_metrics, reliability

LABELS = np.array([1.0, 0.0, 1.0, 0.0])
PROBABILITIES = np.array([0.9, 0.6, 0.5, 0.2])


def test_probability_metrics_equal_their_formulas() -> None:
    metrics = probability_metrics(LABELS, PROBABILITIES)
    assert metrics.num_examples == 4
    assert metrics.positive_rate == 0.5
    assert metrics.auc == 3 / 4  # of the four pairs, only (0.5, 0.6) is the wrong way round
    assert metrics.log_loss == pytest.approx(-(log(0.9) + log(0.4) + log(0.5) + log(0.8)) / 4)
    assert metrics.rmse == pytest.approx(sqrt((0.1**2 + 0.6**2 + 0.5**2 + 0.2**2) / 4))
    assert metrics.predicted_to_actual == pytest.approx(0.55 / 0.5)
    assert metrics.calibration_error == pytest.approx((0.1 + 0.6 + 0.5 + 0.2) / 4)


def test_calibrated_probabilities_have_a_small_calibration_error() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.uniform(size=50_000)
    labels = (rng.uniform(size=50_000) < probabilities).astype(float)
    assert probability_metrics(labels, probabilities).calibration_error < 0.01
    assert probability_metrics(labels, probabilities**2).calibration_error > 0.1


def test_the_calibration_error_by_chance_is_that_of_labels_drawn_by_the_probabilities() -> None:
    rng = np.random.default_rng(3)
    probabilities, weights = rng.uniform(size=500), rng.uniform(0.5, 2.0, size=500)
    drawn = [(rng.uniform(size=500) < probabilities).astype(float) for _ in range(300)]
    errors = [probability_metrics(labels, probabilities, weights).calibration_error for labels in drawn]
    expected = probability_metrics(drawn[0], probabilities, weights).calibration_error_by_chance
    assert expected == pytest.approx(np.mean(errors), rel=0.05)


def test_labels_all_alike_have_no_auc() -> None:
    metrics = probability_metrics(np.zeros(3), np.array([0.1, 0.2, 0.3]))
    assert metrics.auc is None
    assert metrics.predicted_to_actual is None
    assert metrics.to_dict()["auc"] is None


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([], [], "one or more"),
        ([1.0], [0.5, 0.5], "one prediction for each"),
        ([2.0], [0.5], "0 or 1"),
        ([1.0], [1.5], r"0 … 1"),
        ([1.0], [np.nan], r"0 … 1"),
    ],
)
def test_impossible_input_is_refused(labels: list[float], probabilities: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        probability_metrics(np.array(labels), np.array(probabilities))


def test_a_weight_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="weights must be above 0"):
        probability_metrics(LABELS, PROBABILITIES, np.array([1.0, 0.0, 1.0, 1.0]))


def test_a_weight_counts_as_so_many_examples() -> None:
    times = np.array([1, 7, 2, 3])
    weighted = probability_metrics(LABELS, PROBABILITIES, times.astype(float)).to_dict()
    repeated = probability_metrics(LABELS.repeat(times), PROBABILITIES.repeat(times)).to_dict()
    assert weighted.pop("num_examples") == 4
    assert repeated.pop("num_examples") == 13
    # Seven independent examples are more than one that weighs seven.
    assert repeated.pop("calibration_error_by_chance") < weighted.pop("calibration_error_by_chance")
    assert weighted == pytest.approx(repeated)
    auc = auc_interval(LABELS, PROBABILITIES, weights=times.astype(float)).value
    assert auc == pytest.approx(repeated["auc"])


def test_sampled_negatives_are_judged_as_what_they_stand_for() -> None:
    """A tenth of the negatives, each weighing ten: the calibrated model stays calibrated, and its log loss stays."""
    rng = np.random.default_rng(2)
    probabilities = rng.uniform(0.01, 0.3, size=100_000)
    labels = (rng.uniform(size=len(probabilities)) < probabilities).astype(float)
    kept = (labels == 1) | (rng.uniform(size=len(labels)) < 0.1)
    weights = np.where(labels == 1, 1.0, 10.0)[kept]
    everything = probability_metrics(labels, probabilities)
    sampled = probability_metrics(labels[kept], probabilities[kept], weights)
    assert sampled.calibration_error < 0.01
    assert sampled.log_loss == pytest.approx(everything.log_loss, rel=0.02)
    assert sampled.predicted_to_actual == pytest.approx(1, rel=0.03)
    without = probability_metrics(labels[kept], probabilities[kept])
    assert without.calibration_error > 0.2


def test_auc_interval_has_the_width_that_theory_gives() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.uniform(size=2_000) < 0.5).astype(float)
    scores = rng.normal(size=2_000) + labels
    interval = auc_interval(labels, scores)
    # Hanley and McNeil (1982), equations 1 and 2.
    auc, positives, negatives = interval.value, labels.sum(), (1 - labels).sum()
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    deviation = sqrt(variance / (positives * negatives))
    assert interval.low < auc < interval.high
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * deviation, rel=0.25)


def test_a_reliability_diagram_has_tenths_of_the_weight_with_their_means():
    probabilities = np.linspace(0.01, 0.99, 100)
    labels = (np.arange(100) % 4 == 0).astype(np.float64)
    bins = reliability(labels, probabilities)
    assert [each.share for each in bins] == pytest.approx([0.1] * 10)
    assert [each.predicted for each in bins] == pytest.approx(probabilities.reshape(10, 10).mean(axis=1))
    assert [each.observed for each in bins] == pytest.approx(labels.reshape(10, 10).mean(axis=1))


def test_equal_probabilities_make_one_point_of_a_reliability_diagram():
    (only,) = reliability(np.array([1.0, 0.0, 0.0]), np.full(3, 0.3), np.array([2.0, 1.0, 1.0]))
    assert (only.predicted, only.observed, only.share) == pytest.approx((0.3, 0.5, 1.0))
