"""How good predicted probabilities and ratings are, example by example: what a ranking model is judged by."""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error

from trainer.evaluation.intervals import Interval, bootstrap_weights, percentile_interval

Values = npt.NDArray[np.float32] | npt.NDArray[np.float64]

_CALIBRATION_BINS = 10


@dataclass(frozen=True, kw_only=True)
class ProbabilityMetrics:
    """How well probabilities fit binary labels."""

    num_examples: int
    """Examples judged."""
    positive_rate: float
    """Share of the examples whose label is 1."""
    auc: float | None
    """Area under the ROC curve: the chance that a positive example scores above a negative one. None if all labels
    are alike."""
    log_loss: float
    """Mean of -log of the probability given to what happened, in nats."""
    rmse: float
    """Root of the mean squared difference between probability and label (the root of the Brier score)."""
    predicted_to_actual: float | None
    """Mean probability divided by the share of positives: 1 if calibrated on the whole. None without positives."""
    calibration_error: float
    """Mean, over tenths of the examples by probability, of |mean probability - share of positives|."""

    def to_dict(self) -> dict[str, float | int | None]:
        """As it goes into `metrics.json`."""
        return asdict(self)


def probability_metrics(labels: Values, probabilities: Values) -> ProbabilityMetrics:
    """Judges predicted probabilities.

    Args:
        labels: `[examples]`: 0 or 1.
        probabilities: `[examples]`: in [0, 1].

    Raises:
        ValueError: if there are no examples, a label is neither 0 nor 1, or a probability is not in [0, 1].
    """
    _require_examples(labels, probabilities)
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels must be 0 or 1")
    if not (probabilities >= 0).all() or not (probabilities <= 1).all():
        raise ValueError("probabilities must lie in 0 … 1")
    positive_rate = float(np.mean(labels))
    return ProbabilityMetrics(
        num_examples=len(labels),
        positive_rate=positive_rate,
        auc=float(roc_auc_score(labels, probabilities)) if 0 < positive_rate < 1 else None,
        log_loss=float(log_loss(labels, probabilities, labels=[0, 1])),
        rmse=float(root_mean_squared_error(labels, probabilities)),
        predicted_to_actual=float(np.mean(probabilities)) / positive_rate if positive_rate > 0 else None,
        calibration_error=_calibration_error(labels, probabilities),
    )


def rating_rmse(ratings: Values, predictions: Values) -> float:
    """Root mean squared error of predicted ratings, in the ratings' unit; both `[examples]`."""
    _require_examples(ratings, predictions)
    return float(root_mean_squared_error(ratings, predictions))


def auc_interval(
    labels: Values, scores: Values, *, resamples: int = 200, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Bootstraps the AUC over examples; use it where examples are many and users contribute alike.

    Args:
        labels: `[examples]`: 0 or 1, both present.
        scores: `[examples]`: higher means more likely 1.
        resamples: resamples drawn.
        confidence: share of the resampled values inside the interval.
        seed: of the resampling.
    """
    _require_examples(labels, scores)
    values = [
        roc_auc_score(labels, scores, sample_weight=weights)
        for weights in bootstrap_weights(len(labels), resamples, seed)
        if 0 < weights @ labels < len(labels)
    ]
    return percentile_interval(float(roc_auc_score(labels, scores)), np.array(values), confidence)


def _calibration_error(labels: Values, probabilities: Values) -> float:
    actual, predicted = calibration_curve(labels, probabilities, n_bins=_CALIBRATION_BINS, strategy="quantile")
    return float(np.mean(np.abs(actual - predicted)))


def _require_examples(labels: Values, predictions: Values) -> None:
    if len(labels) == 0 or len(labels) != len(predictions):
        raise ValueError(
            f"expected one prediction for each of one or more labels, got {len(predictions)}, {len(labels)}"
        )
