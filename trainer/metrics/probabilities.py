"""How good predicted probabilities are, example by example: what a ranking model is judged by.

Weights make sampled negatives count for the items that they stand for. Without them, probabilities would be judged by
how many negatives somebody chose to sample.
"""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error

from trainer.metrics.intervals import Interval, bootstrap_weights, percentile_interval

Values = npt.NDArray[np.float32] | npt.NDArray[np.float64]

_CALIBRATION_BINS = 10


@dataclass(frozen=True, kw_only=True)
class ProbabilityMetrics:
    """How well probabilities fit binary labels."""

    num_examples: int
    """Examples judged."""
    positive_rate: float
    """Share of the examples' weight whose label is 1."""
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
    """Mean, over tenths of the examples' weight by probability, of |mean probability - share of positives|."""
    calibration_error_by_chance: float
    """The calibration error to expect of right probabilities on as many independent examples: no calibration gets below
    it but by luck."""

    def to_dict(self) -> dict[str, float | int | None]:
        """Returns the plain form that `metrics.json` holds."""
        return asdict(self)


def probability_metrics(labels: Values, probabilities: Values, weights: Values | None = None) -> ProbabilityMetrics:
    """Judges predicted probabilities.

    Args:
        labels: `[examples]`: 0 or 1.
        probabilities: `[examples]`: in [0, 1].
        weights: `[examples]`: above 0, what each example counts; None counts all alike.

    Raises:
        ValueError: if there are no examples, a label is neither 0 nor 1, a probability is not in [0, 1], or a weight is
            not above 0.
    """
    weights = np.ones(len(labels)) if weights is None else weights
    _require_examples(labels, probabilities)
    _require_examples(labels, weights)
    if not (weights > 0).all():
        raise ValueError("weights must be above 0")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels must be 0 or 1")
    if not (probabilities >= 0).all() or not (probabilities <= 1).all():
        raise ValueError("probabilities must lie in 0 … 1")
    positive_rate = float(np.average(labels, weights=weights))
    return ProbabilityMetrics(
        num_examples=len(labels),
        positive_rate=positive_rate,
        auc=float(roc_auc_score(labels, probabilities, sample_weight=weights)) if 0 < positive_rate < 1 else None,
        log_loss=float(log_loss(labels, probabilities, labels=[0, 1], sample_weight=weights)),
        rmse=float(root_mean_squared_error(labels, probabilities, sample_weight=weights)),
        predicted_to_actual=float(np.average(probabilities, weights=weights)) / positive_rate
        if positive_rate > 0
        else None,
        calibration_error=_calibration_error(labels, probabilities, weights),
        calibration_error_by_chance=_calibration_error_by_chance(probabilities, weights),
    )


def auc_interval(
    labels: Values,
    scores: Values,
    *,
    weights: Values | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Bootstraps the AUC over examples; use it where examples are many and users contribute alike.

    Args:
        labels: `[examples]`: 0 or 1, both present.
        scores: `[examples]`: higher means more likely 1.
        weights: `[examples]`: above 0, what each example counts; None counts all alike.
        resamples: resamples drawn.
        confidence: share of the resampled values inside the interval.
        seed: Seed of the resampling.
    """
    _require_examples(labels, scores)
    weights = np.ones(len(labels)) if weights is None else weights
    _, group = np.unique(scores, return_inverse=True)
    values = [
        _auc_by_group(labels, group, weights * drawn)
        for drawn in bootstrap_weights(len(labels), resamples, seed)
        if 0 < drawn @ labels < len(labels)
    ]
    value = float(roc_auc_score(labels, scores, sample_weight=weights))
    return percentile_interval(value, np.array(values), confidence)


def _auc_by_group(labels: Values, group: npt.NDArray[np.intp], weights: Values) -> float:
    """AUC of examples whose scores were sorted once: `group` is the rank of the score, equal for equal ones."""
    positive = np.bincount(group, weights * labels)
    negative = np.bincount(group, weights * (1 - labels))
    below = np.cumsum(negative) - negative / 2
    return float(positive @ below / (positive.sum() * negative.sum()))


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Examples with similar probabilities."""

    predicted: float
    """Their mean probability."""
    observed: float
    """Share of positives among them."""
    share: float
    """Share of the weight of all examples."""


def reliability(labels: Values, probabilities: Values, weights: Values | None = None) -> list[ReliabilityBin]:
    """What a reliability diagram shows: tenths of the examples' weight, by probability.

    Arguments are those of `probability_metrics`. Equal probabilities stay together, so there may be fewer than ten.
    """
    weights = np.ones(len(labels)) if weights is None else weights
    _require_examples(labels, probabilities)
    tenth = _tenths(probabilities, weights)
    mass, predicted, observed = (
        np.bincount(tenth, weights * values, minlength=_CALIBRATION_BINS)
        for values in (np.ones(len(labels)), probabilities, labels)
    )
    return [
        ReliabilityBin(
            predicted=float(predicted[place] / mass[place]),
            observed=float(observed[place] / mass[place]),
            share=float(mass[place] / mass.sum()),
        )
        for place in np.flatnonzero(mass)
    ]


def _calibration_error(labels: Values, probabilities: Values, weights: Values) -> float:
    bins = reliability(labels, probabilities, weights)
    return sum(each.share * abs(each.predicted - each.observed) for each in bins)


def _calibration_error_by_chance(probabilities: Values, weights: Values) -> float:
    # In each tenth, the difference is nearly normal around 0, and the mean of |N(0, s)| is s times the root of 2 / pi.
    tenth = _tenths(probabilities, weights)
    variance = np.bincount(tenth, weights**2 * probabilities * (1 - probabilities))
    return float(np.sqrt(2 / np.pi * variance).sum() / weights.sum())


def _tenths(probabilities: Values, weights: Values) -> npt.NDArray[np.int64]:
    _, place = np.unique(probabilities, return_inverse=True)
    mass = np.bincount(place, weights)
    # Equal probabilities stay together, in the tenth that their middle falls into.
    tenth = np.minimum(_CALIBRATION_BINS * (np.cumsum(mass) - mass / 2) / mass.sum(), _CALIBRATION_BINS - 1)
    of_examples: npt.NDArray[np.int64] = tenth.astype(np.int64)[place]
    return of_examples


def _require_examples(labels: Values, predictions: Values) -> None:
    if len(labels) == 0 or len(labels) != len(predictions):
        raise ValueError(
            f"expected one prediction for each of one or more labels, got {len(predictions)}, {len(labels)}"
        )
