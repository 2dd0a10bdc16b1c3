"""What every calibration is: labelled scores in, a piecewise linear curve from score to calibrated score out.

Every kind has the same form, so that a model holds one curve for each task, whatever kind was chosen. A new kind is a
subclass in a file of its own, with a dataclass of its options and a line in `trainer.config.calibration.CALIBRATIONS`;
the contract test runs it.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NUM_KNOTS = 102
LEAST_SCORE, LARGEST_SCORE = -30.0, 30.0
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LabelledScores:
    """What a calibration is fitted on."""

    scores: Values
    """`[n]`: logits."""
    labels: Values
    """`[n]`: from 0 to 1."""
    weights: Values
    """`[n]`: above 0."""

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, chosen: npt.NDArray[np.int64]) -> "LabelledScores":
        """The chosen examples."""
        return LabelledScores(scores=self.scores[chosen], labels=self.labels[chosen], weights=self.weights[chosen])


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A score's calibrated score is the score plus a shift, which is linear between the knots and beyond them."""

    scores: Values
    """`[NUM_KNOTS]`, ascending."""
    shifts: Values
    """`[NUM_KNOTS]`: what is added there."""

    def __call__(self, scores: Values) -> Values:
        """Calibrated scores of `[n]` scores, as the graph computes them."""
        place = np.clip(np.searchsorted(self.scores, scores), 1, NUM_KNOTS - 1)
        left, right = self.scores[place - 1], self.scores[place]
        slope = (self.shifts[place] - self.shifts[place - 1]) / (right - left)
        calibrated: Values = scores + self.shifts[place - 1] + slope * (scores - left)
        return calibrated


class Calibration(ABC):
    """One kind."""

    @abstractmethod
    def fit(self, examples: LabelledScores) -> Curve:
        """Fits the curve; both labels occur among the examples."""


def even_knots() -> Values:
    """Knots at equal distances."""
    return np.linspace(LEAST_SCORE, LARGEST_SCORE, NUM_KNOTS)


def identity() -> Curve:
    """The scores as they are."""
    return Curve(scores=even_knots(), shifts=np.zeros(NUM_KNOTS))


def smoothed_labels(examples: LabelledScores) -> Values:
    """Labels drawn towards each other as by one more example of each, so that no chance becomes 0 or 1.

    Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized Likelihood Methods", 1999,
    section 2.2.1: (N+ + 1) / (N+ + 2) in place of 1, and 1 / (N- + 2) in place of 0.
    """
    weights = examples.weights / examples.weights.mean()
    positive = float(weights @ examples.labels)
    negative = float(weights.sum()) - positive
    return examples.labels * (positive + 1) / (positive + 2) + (1 - examples.labels) / (negative + 2)
