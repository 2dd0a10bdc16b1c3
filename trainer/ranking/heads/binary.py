"""The head of a binary task: the score is a logit, P(label = 1) = σ(score)."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from sklearn.metrics import log_loss, roc_auc_score

from features.spec.tasks import Task
from trainer.config.evaluation import EvaluationConfig
from trainer.config.ranking import TaskTraining
from trainer.data.labelled_pairs import LabelMoments
from trainer.metrics.probabilities import auc_interval, probability_metrics, reliability
from trainer.ranking.calibration.choose import fit_calibration
from trainer.ranking.calibration.contract import LabelledScores
from trainer.ranking.calibration.layer import CalibrationLayer
from trainer.ranking.heads.contract import Head, Values

# Shares of positive labels beyond this start from it, so that the first logit is finite.
_LEAST_SHARE = 1e-3
_LEAST_CHANCE = 1e-7


class BinaryHead(Head):
    """Predicts the chance that the label is 1."""

    def __init__(self, task: Task, training: TaskTraining, moments: LabelMoments) -> None:
        """Adds the calibration."""
        super().__init__(task, training, moments)
        self._calibration_config = training.chosen_calibration
        self._calibration = CalibrationLayer()

    def calibrate(self, labels: Values, scores: Values, weights: Values) -> None:
        """Fits the configured calibration."""
        examples = LabelledScores(
            scores=scores.astype(np.float64), labels=labels.astype(np.float64), weights=weights.astype(np.float64)
        )
        self._calibration.assign(fit_calibration(self._calibration_config, examples))

    def calibrated(self, scores: tf.Tensor) -> tf.Tensor:
        """Calibrated logits."""
        return self._calibration(scores)

    @property
    def calibration(self) -> str:
        """Name of the kind."""
        return self._calibration.kind

    def first_score(self, moments: LabelMoments) -> float:
        """The logit of the share of positive labels."""
        share = min(max(moments.mean, _LEAST_SHARE), 1 - _LEAST_SHARE)
        return float(tf.math.log(share / (1 - share)))

    def scaled(self, labels: tf.Tensor) -> tf.Tensor:
        """The labels themselves."""
        return labels

    def prediction(self, scores: tf.Tensor) -> tf.Tensor:
        """The chance that the label is 1."""
        return tf.sigmoid(scores)

    def log_chance(self, scores: tf.Tensor) -> tf.Tensor:
        """Log of the chance that the label is 1."""
        return tf.math.log_sigmoid(scores)

    def validation(self, labels: Values, predictions: Values, weights: Values) -> tuple[float, Mapping[str, float]]:
        """Log loss, and AUC where both labels occur; a label from one half on counts as 1."""
        is_positive = labels >= 0.5
        loss = float(log_loss(is_positive, predictions, sample_weight=weights, labels=[False, True]))
        metrics = {"log_loss": loss}
        if 0 < is_positive.sum() < len(is_positive):
            metrics["auc"] = float(roc_auc_score(is_positive, predictions, sample_weight=weights))
        return loss, metrics

    def evaluation(
        self, labels: Values, predictions: Values, weights: Values, config: EvaluationConfig
    ) -> dict[str, Any]:
        """`ProbabilityMetrics`, `reliability` and, where both labels occur, `auc_interval`."""
        result: dict[str, Any] = probability_metrics(labels, predictions, weights).to_dict()
        result["reliability"] = [asdict(each) for each in reliability(labels, predictions, weights)]
        if 0 < labels.sum() < len(labels):
            interval = auc_interval(
                labels,
                predictions,
                weights=weights,
                resamples=config.resamples,
                confidence=config.confidence,
                seed=config.seed,
            )
            result["auc_interval"] = [interval.low, interval.high]
        return result

    def errors(self, labels: Values, predictions: Values) -> npt.NDArray[np.float64]:
        """Log losses, of chances kept apart from 0 and 1."""
        chances = np.clip(predictions.astype(np.float64), _LEAST_CHANCE, 1 - _LEAST_CHANCE)
        truth = labels.astype(np.float64)
        losses: npt.NDArray[np.float64] = -(truth * np.log(chances) + (1 - truth) * np.log1p(-chances))
        return losses
