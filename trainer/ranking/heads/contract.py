"""The contract of a head: one task's last layer, its loss, its predictions and its metrics.

A new type of task is a subclass in a file of its own, a line in `trainer.ranking.heads.HEADS` and a name in
`features.spec.tasks`.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.spec.tasks import Task
from trainer.config.evaluation import EvaluationConfig
from trainer.config.ranking import RANKING_LOSSES, TaskTraining
from trainer.data.labelled_pairs import LabelMoments
from trainer.ranking.calibration.choose import NONE
from trainer.ranking.losses.contract import RankingLoss

Values: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]


class Head(tf.keras.layers.Layer):
    """What one task's scores mean: their loss, and the predictions that they stand for."""

    def __init__(self, task: Task, training: TaskTraining, moments: LabelMoments) -> None:
        """Makes the loss.

        Args:
            task: what is predicted.
            training: loss and weight.
            moments: Mean and deviation of the training labels, which the predictions start from.
        """
        super().__init__()
        self.task_name = task.name
        self.loss_weight = training.weight
        loss = training.loss_of(task.type)
        self._loss: RankingLoss = RANKING_LOSSES.implementation(loss)(loss)

    def loss(self, labels: tf.Tensor, scores: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Weighted sum of the losses of `[pairs] float32` labels, NaN where unknown, and scores; `[] float32`."""
        is_known = ~tf.math.is_nan(labels)
        known = self.scaled(tf.where(is_known, labels, 0.0))
        return self.loss_weight * self._loss(known, scores, tf.where(is_known, weights, 0.0))

    def calibrate(self, labels: Values, scores: Values, weights: Values) -> None:
        """Fits what `calibrated` does on labelled scores, `[pairs]` each, none unknown; nothing by default."""

    def calibrated(self, scores: tf.Tensor) -> tf.Tensor:
        """Scores corrected by what validation said of them; the same shape. By default they stay as they are."""
        return scores

    @property
    def calibration(self) -> str:
        """Name of the calibration that was fitted."""
        return NONE

    @abstractmethod
    def first_score(self, moments: LabelMoments) -> float:
        """The score of every pair before the training."""

    @abstractmethod
    def scaled(self, labels: tf.Tensor) -> tf.Tensor:
        """Labels in the unit of the scores, as the loss compares them; the same shape."""

    @abstractmethod
    def prediction(self, scores: tf.Tensor) -> tf.Tensor:
        """Scores to what is predicted, in the unit of the labels; the same shape."""

    @abstractmethod
    def log_chance(self, scores: tf.Tensor) -> tf.Tensor:
        """Scores to the log of the chance that the user is content with the item; the same shape."""

    @abstractmethod
    def validation(self, labels: Values, predictions: Values, weights: Values) -> tuple[float, Mapping[str, float]]:
        """The loss an example that chooses the epoch, and metrics to show; arguments are `[pairs]`, none unknown."""

    @abstractmethod
    def evaluation(
        self, labels: Values, predictions: Values, weights: Values, config: EvaluationConfig
    ) -> dict[str, Any]:
        """Metrics of the report, as plain data; arguments are `[pairs]`, none unknown, weights above 0."""

    @abstractmethod
    def errors(self, labels: Values, predictions: Values) -> npt.NDArray[np.float64]:
        """How wrong each prediction is, in the measure that training minimises; `[pairs]` each, none unknown."""
