"""Heads: scores to predictions and losses, in the units of their tasks."""

import math

import numpy as np
import pytest
import tensorflow as tf

from features.errors import ConfigError
from features.spec.tasks import TASK_TYPES, Task
from tests.trainer.small_dataset import SCHEMA
from trainer.config.evaluation import EvaluationConfig
from trainer.config.ranking import RankingConfig, SquaredConfig, TaskTraining, require_tasks
from trainer.data.labelled_pairs import LabelMoments
from trainer.ranking.heads import HEADS
from trainer.ranking.heads.contract import Head

RATING = LabelMoments(mean=3.5, deviation=0.5)


def head_of(task: Task, moments: LabelMoments, weight: float = 1.0) -> Head:
    return HEADS[task.type](task, TaskTraining(weight=weight), moments)


def first_prediction(task: Task, moments: LabelMoments) -> float:
    """What is predicted of every pair before the training."""
    head = head_of(task, moments)
    return float(head.prediction(tf.constant(head.first_score(moments))))


def test_predictions_start_from_the_mean_label() -> None:
    assert first_prediction(Task(name="a"), LabelMoments(mean=0.2)) == pytest.approx(0.2)
    assert first_prediction(Task(name="a"), LabelMoments(mean=0.0)) == pytest.approx(1e-3)
    assert first_prediction(Task(name="a", type="regression"), RATING) == pytest.approx(3.5)


def test_errors_are_those_of_the_loss() -> None:
    labels, rating = np.array([1.0, 0.0]), head_of(Task(name="a", type="regression"), RATING)
    np.testing.assert_allclose(rating.errors(labels, np.array([3.0, 1.0])), [4.0, 1.0])
    binary = head_of(Task(name="a"), LabelMoments(mean=0.5))
    np.testing.assert_allclose(binary.errors(labels, np.array([0.8, 0.25])), [-math.log(0.8), -math.log(0.75)])
    assert np.isfinite(binary.errors(labels, np.array([0.0, 1.0]))).all()


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_unknown_labels_cost_nothing_and_pull_at_nothing(task_type: str) -> None:
    head = head_of(Task(name="a", type=task_type), LabelMoments(mean=0.5, deviation=1.0))  # type: ignore[arg-type]
    scores, weights = tf.constant([0.3, 5.0]), tf.constant([2.0, 1.0])
    with tf.GradientTape() as tape:
        tape.watch(scores)
        loss = head.loss(tf.constant([1.0, math.nan]), scores, weights)
    assert float(loss) == pytest.approx(float(head.loss(tf.constant([1.0]), scores[:1], weights[:1])))
    assert tape.gradient(loss, scores).numpy()[1] == 0.0


def test_loss_of_a_regression_is_that_of_standardised_labels() -> None:
    head = head_of(Task(name="a", type="regression"), RATING, weight=0.25)
    loss = head.loss(tf.constant([4.5]), tf.constant([1.0]), tf.constant([3.0]))
    assert float(loss) == pytest.approx(0.25 * 3 * ((4.5 - 3.5) / 0.5 - 1.0) ** 2 / 2)
    shown = head.validation(np.array([4.5]), np.array([4.0]), np.ones(1))
    assert shown[0] == pytest.approx((0.5 / 0.5) ** 2 / 2)
    assert shown[1] == {"rmse": 0.5, "mae": 0.5}


def test_labels_without_spread_do_not_divide_by_zero() -> None:
    head = head_of(Task(name="a", type="regression"), LabelMoments(mean=2.0, deviation=0.0))
    assert float(head.loss(tf.constant([2.0]), tf.constant([0.0]), tf.constant([1.0]))) == 0.0


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_chance_grows_with_the_score_and_is_finite(task_type: str) -> None:
    head = head_of(Task(name="a", type=task_type), RATING)  # type: ignore[arg-type]
    chances = head.log_chance(tf.constant([-100.0, 0.0, 1.0, 100.0])).numpy()
    assert (np.diff(chances) > 0).all()
    assert chances[0] == pytest.approx(-100.0)
    assert chances[1] == pytest.approx(math.log(0.5))


def test_intervals_are_as_configured() -> None:
    labels, predictions = np.array([1.0, 0.0] * 50), np.linspace(0.1, 0.9, 100)
    for task, key in ((Task(name="a"), "auc"), (Task(name="a", type="regression"), "rmse")):
        head = head_of(task, RATING)
        wide, narrow = (
            head.evaluation(labels, predictions, np.ones(100), EvaluationConfig(resamples=99, confidence=level))
            for level in (0.99, 0.5)
        )
        low, high = wide[f"{key}_interval"]
        assert low < narrow[f"{key}_interval"][0] <= wide[key] <= narrow[f"{key}_interval"][1] < high


@pytest.mark.parametrize(
    ("trained", "message"),
    [
        ({"bought": TaskTraining()}, r"ranking\.task\.bought"),
        ({"label": TaskTraining(loss=SquaredConfig())}, r"ranking\.task\.label\.loss\.kind = 'squared'.*logistic"),
    ],
)
def test_options_of_tasks_have_to_suit_the_schema(trained: dict[str, TaskTraining], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        require_tasks(RankingConfig(task=trained), SCHEMA)
    with pytest.raises(ConfigError, match=r"\.weight = 0"):
        TaskTraining(weight=0.0)
