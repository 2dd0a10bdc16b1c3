"""Calibration: every kind against its formula, the choice among them, and the graph against NumPy."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from features.errors import ConfigError
from features.spec.tasks import Task
from tests.trainer.small_dataset import SCHEMA
from trainer.config.calibration import (
    CALIBRATIONS,
    AutoCalibrationConfig,
    IsotonicConfig,
    NoCalibrationConfig,
    PlattConfig,
)
from trainer.config.ranking import RankingConfig, TaskTraining, require_tasks
from trainer.data.labelled_pairs import LabelMoments
from trainer.metrics.probabilities import probability_metrics
from trainer.ranking.calibration.choose import Fitted, cross_validated_loss, fit_calibration
from trainer.ranking.calibration.contract import NUM_KNOTS, LabelledScores, identity, smoothed_labels
from trainer.ranking.calibration.isotonic import IsotonicCalibration, equal_bins
from trainer.ranking.calibration.layer import CalibrationLayer
from trainer.ranking.calibration.none import NoCalibration
from trainer.ranking.calibration.platt import PlattScaling
from trainer.ranking.heads import HEADS

KINDS = [CALIBRATIONS.options(name)() for name in CALIBRATIONS.names]


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def examples(logit: Callable[[np.ndarray], np.ndarray], size: int = 4000, seed: int = 0) -> LabelledScores:
    """Scores between -3 and 3 whose labels have the chance σ(logit(score))."""
    draw = np.random.default_rng(seed)
    scores = draw.uniform(-3, 3, size)
    labels = (draw.random(size) < sigmoid(logit(scores))).astype(np.float64)
    return LabelledScores(scores=scores, labels=labels, weights=np.ones(size))


def line(scores: np.ndarray) -> np.ndarray:
    return 0.4 * scores - 1.0


def steps(scores: np.ndarray) -> np.ndarray:
    return np.where(scores < 0, -2.0, np.where(scores < 2, 0.0, 2.0))


def test_platt_finds_slope_and_intercept_anywhere():
    curve = PlattScaling().fit(examples(line, 40_000))
    asked = np.array([-40.0, -2.0, 0.0, 1.5, 40.0])
    np.testing.assert_allclose(curve(asked), line(asked), rtol=0.05, atol=0.05)


def test_platt_minimises_the_log_loss_of_the_smoothed_labels():
    some = examples(line, 300)
    labels = smoothed_labels(some)

    def loss(logits: np.ndarray) -> float:
        return float(-np.mean(labels * np.log(sigmoid(logits)) + (1 - labels) * np.log(sigmoid(-logits))))

    best = PlattScaling().fit(some)(some.scores)
    for moved in (best + 0.02, best - 0.02, best * 1.02, best * 0.98):
        assert loss(moved) > loss(best)


def test_isotonic_finds_steps_and_is_constant_beyond_the_scores():
    curve = IsotonicCalibration().fit(examples(steps, 40_000))
    asked = np.array([-50.0, -2.5, -1.0, 1.0, 2.7, 50.0])
    np.testing.assert_allclose(sigmoid(curve(asked)), sigmoid(steps(asked)), atol=0.06)
    assert (np.diff(curve(np.linspace(-5, 5, 999))) >= -1e-9).all()


def test_isotonic_of_two_examples_is_theirs():
    two = LabelledScores(scores=np.array([-1.0, 1.0]), labels=np.array([0.0, 1.0]), weights=np.ones(2))
    # A bin each, and one more example of the mean label in each.
    np.testing.assert_allclose(sigmoid(IsotonicCalibration().fit(two)(np.array([-1.0, 1.0]))), [1 / 4, 3 / 4])


def test_bins_hold_equally_many_scores_and_equal_ones_together():
    scores = np.array([5.0, 1.0, 3.0, 2.0, 4.0, 2.0])
    assert equal_bins(scores).tolist() == [1, 0, 1, 0, 1, 0]
    assert np.bincount(equal_bins(np.random.default_rng(0).normal(size=4000))).tolist() == [40] * 100
    assert equal_bins(np.zeros(50)).tolist() == [0] * 50


def test_smoothed_labels_are_those_of_the_paper():
    some = LabelledScores(scores=np.zeros(5), labels=np.array([1.0, 1, 1, 0, 0]), weights=np.full(5, 7.0))
    np.testing.assert_allclose(smoothed_labels(some), [4 / 5] * 3 + [1 / 4] * 2)


@pytest.mark.parametrize(
    "kind", [NoCalibration(), PlattScaling(), IsotonicCalibration()], ids=lambda k: type(k).__name__
)
class TestEveryKind:
    def test_knots_ascend_and_everything_is_finite(self, kind):
        for logit in (line, steps, lambda scores: 9 * scores):
            curve = kind.fit(examples(logit, 300))
            assert len(curve.scores) == len(curve.shifts) == NUM_KNOTS
            assert (np.diff(curve.scores) > 0).all()
            assert np.isfinite(curve.shifts).all()

    def test_equal_scores_get_their_share_of_positives(self, kind):
        labels = np.repeat([1.0, 0.0], [300, 700])
        curve = kind.fit(LabelledScores(scores=np.full(1000, 0.7), labels=labels, weights=np.ones(1000)))
        expected = 0.7 if isinstance(kind, NoCalibration) else np.log(3 / 7)
        assert curve(np.array([0.7]))[0] == pytest.approx(expected, abs=0.02)

    def test_weights_count_as_copies(self, kind):
        some = examples(line, 1000)
        weights = np.where(some.labels == 1, 3, 1)
        copies = kind.fit(some.take(np.repeat(np.arange(1000), weights)))
        weighted = kind.fit(LabelledScores(scores=some.scores, labels=some.labels, weights=weights.astype(np.float64)))
        # Bins end at other scores, so isotonic curves differ between them; chances without weights differ by .2.
        asked = np.linspace(-2.5, 2.5, 50)
        assert np.abs(sigmoid(weighted(asked)) - sigmoid(copies(asked))).mean() < 0.05

    def test_the_graph_computes_what_was_fitted(self, kind):
        curve = kind.fit(examples(steps))
        layer = CalibrationLayer()
        layer.assign(Fitted(kind="platt", curve=curve))
        asked = np.linspace(-35, 35, 700).reshape(7, 100)
        found = layer(tf.constant(asked, tf.float32)).numpy()
        np.testing.assert_allclose(found, curve(asked.ravel()).reshape(7, -1), rtol=1e-4, atol=1e-4)


def test_without_a_calibration_scores_stay_the_same_to_the_bit():
    scores = tf.random.stateless_normal([1000], [0, 1], stddev=9.0)
    layer = CalibrationLayer()
    assert layer.kind == "none"
    np.testing.assert_array_equal(layer(scores), scores)


@pytest.mark.parametrize(("logit", "kind"), [(lambda scores: scores, "none"), (line, "platt"), (steps, "isotonic")])
def test_auto_takes_the_kind_that_the_data_have(logit, kind):
    assert fit_calibration(AutoCalibrationConfig(), examples(logit, 20_000)).kind == kind


def test_the_loss_in_cross_validation_is_of_examples_left_out():
    some = examples(lambda scores: 0 * scores, 60)
    fitted = IsotonicCalibration().fit(some)(some.scores)
    inside = -np.mean(np.log(sigmoid(np.where(some.labels == 1, fitted, -fitted))))
    assert cross_validated_loss(IsotonicCalibration(), some) > inside
    outside = cross_validated_loss(NoCalibration(), some)
    assert outside == pytest.approx(-np.mean(np.log(sigmoid(np.where(some.labels == 1, 1, -1) * some.scores))))


@pytest.mark.parametrize("config", KINDS)
def test_few_examples_of_a_label_leave_the_scores_as_they_are(config):
    some = examples(lambda scores: scores - 30, 200)
    found = fit_calibration(config, some)
    assert found.kind == "none"
    np.testing.assert_array_equal(found.curve.shifts, identity().shifts)


@pytest.mark.parametrize("config", [PlattConfig(), IsotonicConfig(), AutoCalibrationConfig()])
def test_calibration_error_falls_to_a_third_on_data_left_out(config):
    def chances_are_too_sure(scores: np.ndarray) -> np.ndarray:
        return scores / 3

    fitted = fit_calibration(config, examples(chances_are_too_sure, 20_000))
    new = examples(chances_are_too_sure, 20_000, seed=1)
    before = probability_metrics(new.labels, sigmoid(new.scores)).calibration_error
    after = probability_metrics(new.labels, sigmoid(fitted.curve(new.scores))).calibration_error
    assert after < before / 3


def test_a_head_predicts_by_its_calibration_and_none_switches_it_off():
    some = examples(line, 4000)
    for config, changes in ((PlattConfig(), True), (NoCalibrationConfig(), False)):
        head = HEADS["binary"](Task(name="a"), TaskTraining(calibration=config), LabelMoments())
        head.calibrate(some.labels, some.scores, some.weights)
        scores = tf.constant([-1.0, 2.0])
        expected = sigmoid(line(np.array([-1.0, 2.0]))) if changes else sigmoid(np.array([-1.0, 2.0]))
        np.testing.assert_allclose(head.prediction(head.calibrated(scores)), expected, atol=0.05 if changes else 1e-6)
        assert head.calibration == ("platt" if changes else "none")


def test_a_regression_has_no_calibration():
    head = HEADS["regression"](Task(name="a", type="regression"), TaskTraining(), LabelMoments())
    head.calibrate(np.ones(3), np.ones(3), np.ones(3))
    np.testing.assert_array_equal(head.calibrated(tf.constant([1.5])), [1.5])
    schema_of_rating = replace(SCHEMA, task=(Task(name="a", type="regression"),))
    with pytest.raises(ConfigError, match=r"ranking\.task\.a\.calibration\.kind = 'platt'"):
        require_tasks(RankingConfig(task={"a": TaskTraining(calibration=PlattConfig())}), schema_of_rating)
