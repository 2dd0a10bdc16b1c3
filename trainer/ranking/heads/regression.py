"""The head of a regression task: label = mean + deviation · score, with mean and deviation of the training labels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.spec.tasks import Task
from trainer.config.evaluation import EvaluationConfig
from trainer.config.ranking import TaskTraining
from trainer.data.labelled_pairs import LabelMoments
from trainer.metrics.regression import regression_metrics, rmse_interval
from trainer.ranking.heads.contract import Head, Values


class RegressionHead(Head):
    """Predicts the expected label."""

    def __init__(self, task: Task, training: TaskTraining, moments: LabelMoments) -> None:
        """Keeps the moments as variables, so that a restored model has those of its training."""
        super().__init__(task, training, moments)
        self.mean = self._constant("mean", moments.mean)
        self.deviation = self._constant("deviation", moments.deviation if moments.deviation > 0 else 1.0)

    def first_score(self, moments: LabelMoments) -> float:
        """0, which stands for the mean."""
        return 0.0

    def scaled(self, labels: tf.Tensor) -> tf.Tensor:
        """Standardised labels."""
        return (labels - self.mean) / self.deviation

    def prediction(self, scores: tf.Tensor) -> tf.Tensor:
        """The expected label."""
        return self.mean + self.deviation * scores

    def log_chance(self, scores: tf.Tensor) -> tf.Tensor:
        """Log of the chance that the label is above the training's mean, if noise is logistic with scale deviation."""
        return tf.math.log_sigmoid(scores)

    def validation(self, labels: Values, predictions: Values, weights: Values) -> tuple[float, Mapping[str, float]]:
        """Half the mean squared error in units of the training labels' variance; the RMSE to show."""
        found = regression_metrics(labels, predictions, weights)
        return float(np.square(found.rmse / self.deviation.numpy()) / 2.0), {"rmse": found.rmse, "mae": found.mae}

    def evaluation(
        self, labels: Values, predictions: Values, weights: Values, config: EvaluationConfig
    ) -> dict[str, Any]:
        """`RegressionMetrics` and `rmse_interval`."""
        interval = rmse_interval(
            labels,
            predictions,
            weights=weights,
            resamples=config.resamples,
            confidence=config.confidence,
            seed=config.seed,
        )
        return {
            **regression_metrics(labels, predictions, weights).to_dict(),
            "rmse_interval": [interval.low, interval.high],
        }

    def errors(self, labels: Values, predictions: Values) -> npt.NDArray[np.float64]:
        """Squared errors, in the squared unit of the labels."""
        squares: npt.NDArray[np.float64] = np.square(predictions.astype(np.float64) - labels)
        return squares

    def _constant(self, name: str, value: float) -> tf.Variable:
        return self.add_weight(name=name, shape=(), trainable=False, initializer=tf.keras.initializers.Constant(value))
