"""Each loss against its formula, at extremes, and by its gradient."""

from dataclasses import dataclass

import numpy as np
import pytest
import tensorflow as tf

from features.serialization import structure
from features.spec.tasks import Task
from trainer.config.ranking import RANKING_LOSSES, LogisticConfig, RankingConfig, RankingLossConfig, SquaredConfig
from trainer.data.labelled_pairs import LabelMoments
from trainer.ranking.heads import HEADS
from trainer.ranking.losses.contract import RankingLoss

LABELS = np.array([1.0, 0.0, 0.25, 1.0], np.float32)
SCORES = np.array([0.5, -1.5, 2.0, 0.0], np.float32)
WEIGHTS = np.array([1.0, 2.0, 0.5, 0.0], np.float32)


@dataclass(frozen=True, kw_only=True)
class AbsoluteConfig(RankingLossConfig):
    """A loss from outside of the package."""

    scale: float = 1.0
    task_type = "regression"


class AbsoluteLoss(RankingLoss):
    def __call__(self, labels: tf.Tensor, scores: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        return self.config.scale * tf.reduce_sum(weights * tf.abs(scores - labels))


def loss_of(config: RankingLossConfig) -> RankingLoss:
    loss: RankingLoss = RANKING_LOSSES.implementation(config)(config)
    return loss


def test_logistic_is_the_cross_entropy() -> None:
    chance = 1 / (1 + np.exp(-SCORES.astype(np.float64)))
    expected = -(LABELS * np.log(chance) + (1 - LABELS) * np.log(1 - chance)) @ WEIGHTS
    assert float(loss_of(LogisticConfig())(LABELS, SCORES, WEIGHTS)) == pytest.approx(expected, rel=1e-6)


def test_squared_is_half_the_squared_error() -> None:
    expected = WEIGHTS @ np.square(SCORES - LABELS) / 2
    assert float(loss_of(SquaredConfig())(LABELS, SCORES, WEIGHTS)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("config", "prediction"),
    [(LogisticConfig(), tf.sigmoid), (SquaredConfig(), tf.identity)],
    ids=["logistic", "squared"],
)
def test_gradient_of_a_score_is_its_weighted_error(config: RankingLossConfig, prediction: object) -> None:
    scores = tf.constant(SCORES)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        loss = loss_of(config)(tf.constant(LABELS), scores, tf.constant(WEIGHTS))
    expected = WEIGHTS * (prediction(scores).numpy() - LABELS)  # type: ignore[operator]
    np.testing.assert_allclose(tape.gradient(loss, scores), expected, rtol=1e-5, atol=1e-7)


def test_certain_mistakes_cost_what_they_are_and_no_nan() -> None:
    one = np.ones(1, np.float32)
    assert float(loss_of(LogisticConfig())(one, -1000 * one, one)) == pytest.approx(1000.0)
    assert float(loss_of(LogisticConfig())(one, 1000 * one, one)) == 0.0


@pytest.mark.parametrize("name", RANKING_LOSSES.names)
def test_loss_of_nothing_is_zero_and_weights_scale(name: str) -> None:
    loss = loss_of(RANKING_LOSSES.options(name)())
    empty = np.zeros(0, np.float32)
    assert float(loss(empty, empty, empty)) == 0.0
    assert float(loss(LABELS, SCORES, 0 * WEIGHTS)) == 0.0
    assert float(loss(LABELS, SCORES, 3 * WEIGHTS)) == pytest.approx(3 * float(loss(LABELS, SCORES, WEIGHTS)), rel=1e-6)
    assert RANKING_LOSSES.options(name).task_type in ("binary", "regression")


def test_loss_from_outside_trains_a_task() -> None:
    with RANKING_LOSSES.registered("absolute", AbsoluteConfig, AbsoluteLoss):
        table = {"task": {"rating": {"loss": {"kind": "absolute", "scale": 2.0}}}}
        training = structure(table, RankingConfig).training_of("rating")
        head = HEADS["regression"](
            Task(name="rating", type="regression"), training, LabelMoments(mean=3.0, deviation=0.5)
        )
        loss = head.loss(tf.constant([4.0]), tf.constant([1.0]), tf.constant([3.0]))
    assert float(loss) == pytest.approx(3 * 2 * abs(1.0 - (4.0 - 3.0) / 0.5))
