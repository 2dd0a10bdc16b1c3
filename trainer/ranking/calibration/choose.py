"""Chooses and fits a task's calibration."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import log_loss

from trainer.config.calibration import CALIBRATIONS, CalibrationConfig
from trainer.ranking.calibration.contract import (
    LARGEST_SCORE,
    LEAST_SCORE,
    Calibration,
    Curve,
    LabelledScores,
    Values,
    identity,
)

NONE = "none"
_FOLDS = 5
_FEWEST_OF_A_LABEL = 20
_MOST_EXAMPLES = 200_000


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A calibration and its curve."""

    kind: str
    """Name of the kind."""
    curve: Curve
    """Fitted on all examples."""


def fit_calibration(config: CalibrationConfig, examples: LabelledScores) -> Fitted:
    """Fits the configured kind; of `auto` the one with the least log loss in cross-validation.

    Args:
        config: The kind.
        examples: Of the validation split; 200,000 of more are drawn.

    Returns:
        The kind and its curve; `none` where either label occurs fewer than twenty times, which says too little.
    """
    order = np.random.default_rng(0).permutation(len(examples))[:_MOST_EXAMPLES]
    some = examples.take(order)
    some = LabelledScores(
        scores=np.clip(some.scores, LEAST_SCORE, LARGEST_SCORE), labels=some.labels, weights=some.weights
    )
    positive = int(np.count_nonzero(some.labels >= 0.5))
    if min(positive, len(some) - positive) < _FEWEST_OF_A_LABEL:
        return Fitted(kind=NONE, curve=identity())
    fitting = _kinds(config)
    chosen = min(fitting, key=lambda name: cross_validated_loss(fitting[name], some) if len(fitting) > 1 else 0.0)
    return Fitted(kind=chosen, curve=fitting[chosen].fit(some))


def _kinds(config: CalibrationConfig) -> dict[str, Calibration]:
    """The configured kind, or all of them."""
    implementation = CALIBRATIONS.implementation(config)
    if implementation is not None:
        return {CALIBRATIONS.name_of(config): implementation()}
    every = {name: CALIBRATIONS.implementation(CALIBRATIONS.options(name)()) for name in CALIBRATIONS.names}
    return {name: each() for name, each in every.items() if each is not None}


def cross_validated_loss(calibration: Calibration, examples: LabelledScores) -> float:
    """Mean log loss of examples in five parts, each calibrated by the other four; a label from one half on is 1."""
    part = np.arange(len(examples)) % _FOLDS
    calibrated = np.empty(len(examples))
    for number in range(_FOLDS):
        left_out = np.flatnonzero(part == number)
        curve = calibration.fit(examples.take(np.flatnonzero(part != number)))
        calibrated[left_out] = curve(examples.scores[left_out])
    chances: Values = 1 / (1 + np.exp(-calibrated))
    return float(log_loss(examples.labels >= 0.5, chances, sample_weight=examples.weights, labels=[False, True]))
