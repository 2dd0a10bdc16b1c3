"""How good predicted numbers, such as ratings, are, example by example."""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from trainer.metrics.intervals import Interval, bootstrap_weights, percentile_interval

Values = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RegressionMetrics:
    """How well predictions fit numeric labels; all means are weighted."""

    num_examples: int
    """Examples judged."""
    mean_label: float
    """Mean of the labels."""
    mean_prediction: float
    """Mean of the predictions."""
    rmse: float
    """Root of the mean squared error, in the unit of the label."""
    mae: float
    """Mean absolute error, in the unit of the label."""

    def to_dict(self) -> dict[str, float | int]:
        """Returns the plain form that `metrics.json` holds."""
        return asdict(self)


def regression_metrics(labels: Values, predictions: Values, weights: Values | None = None) -> RegressionMetrics:
    """Judges predicted numbers.

    Args:
        labels: `[examples]`: finite.
        predictions: `[examples]`: finite.
        weights: `[examples]`: above 0, what each example counts; None counts all alike.

    Raises:
        ValueError: if there are no examples, lengths differ, a number is not finite or a weight is not above 0.
    """
    weights = _checked_weights(labels, predictions, weights)
    errors = predictions.astype(np.float64) - labels
    return RegressionMetrics(
        num_examples=len(labels),
        mean_label=float(np.average(labels, weights=weights)),
        mean_prediction=float(np.average(predictions, weights=weights)),
        rmse=float(np.sqrt(np.average(np.square(errors), weights=weights))),
        mae=float(np.average(np.abs(errors), weights=weights)),
    )


def rmse_interval(
    labels: Values,
    predictions: Values,
    *,
    weights: Values | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Bootstraps the RMSE over examples.

    Args:
        labels: `[examples]`: finite.
        predictions: `[examples]`: finite.
        weights: `[examples]`: above 0, what each example counts; None counts all alike.
        resamples: Resamples drawn.
        confidence: Share of the resampled values inside the interval.
        seed: Seed of the resampling.
    """
    weights = _checked_weights(labels, predictions, weights)
    squares = np.square(predictions.astype(np.float64) - labels)
    drawn = (weights * counts for counts in bootstrap_weights(len(labels), resamples, seed))
    values = np.array([np.sqrt(each @ squares / each.sum()) for each in drawn])
    return percentile_interval(float(np.sqrt(np.average(squares, weights=weights))), values, confidence)


def _checked_weights(labels: Values, predictions: Values, weights: Values | None) -> Values:
    weights = np.ones(len(labels)) if weights is None else weights
    if len(labels) == 0 or not len(labels) == len(predictions) == len(weights):
        sizes = f"{len(predictions)} and {len(weights)}"
        raise ValueError(f"expected a prediction and a weight for each of one or more labels, got {sizes}")
    if not (np.isfinite(labels).all() and np.isfinite(predictions).all()):
        raise ValueError("labels and predictions must be finite")
    if not (weights > 0).all():
        raise ValueError("weights must be above 0")
    return weights
