"""Isotonic regression."""

import numpy as np
import numpy.typing as npt
from sklearn.isotonic import IsotonicRegression

from trainer.ranking.calibration.contract import NUM_KNOTS, Calibration, Curve, LabelledScores, Values

_MOST_BINS = NUM_KNOTS - 2
_EXAMPLES_A_BIN = 20


class IsotonicCalibration(Calibration):
    """The chance as the function of the score that never falls and has the least squared error.

    Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD 2002,
    section 3, over at most a hundred bins of equally many examples: pooling single examples gives the extreme scores
    chances near 0 and 1. One more example with the mean label joins each bin for the same reason.
    """

    def fit(self, examples: LabelledScores) -> Curve:
        """Pools adjacent violators; the curve is constant beyond the first and the last bin."""
        weights = examples.weights / examples.weights.mean()
        bins = equal_bins(examples.scores)
        mass, scores, labels = (
            np.bincount(bins, weights * values) for values in (np.ones(len(examples)), examples.scores, examples.labels)
        )
        observed = (labels + labels.sum() / mass.sum()) / (mass + 1)
        knots = scores / mass
        chances = IsotonicRegression().fit_transform(knots, observed, sample_weight=mass)
        return _curve(knots, np.log(chances / (1 - chances)))


def equal_bins(scores: Values) -> npt.NDArray[np.int64]:
    """Bin of each score, `[n] int64` from 0 on, none empty: about equally many scores in each, equal ones together."""
    most = min(_MOST_BINS, max(2, len(scores) // _EXAMPLES_A_BIN))
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    middle = (np.cumsum(count) - count / 2) / len(scores)
    bins: npt.NDArray[np.int64] = np.unique((most * middle).astype(np.int64)[place], return_inverse=True)[1]
    return bins


def _curve(knots: Values, logits: Values) -> Curve:
    # Two knots with one logit make a constant. So many follow the last one that their number is always the same.
    beyond = NUM_KNOTS - 1 - len(knots)
    scores = np.concatenate([[knots[0] - 1.0], knots, knots[-1] + np.arange(1, beyond + 1)])
    calibrated = np.concatenate([logits[:1], logits, np.repeat(logits[-1], beyond)])
    return Curve(scores=scores, shifts=calibrated - scores)
