"""Platt scaling."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from trainer.ranking.calibration.contract import Calibration, Curve, LabelledScores, even_knots, smoothed_labels

_NO_PENALTY = 1e12  # C is the inverse of the penalty's strength


class PlattScaling(Calibration):
    """P(label = 1) = σ(a score + b), with a and b of least log loss.

    Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized Likelihood Methods", 1999,
    Eq. 3, with the labels of section 2.2.1.
    """

    def fit(self, examples: LabelledScores) -> Curve:
        """Logistic regression on the score alone; a label between 0 and 1 counts as a share of both."""
        labels, count = smoothed_labels(examples), len(examples)
        model = LogisticRegression(C=_NO_PENALTY).fit(
            np.concatenate([examples.scores, examples.scores])[:, None],
            np.repeat([1, 0], count),
            sample_weight=np.concatenate([examples.weights * labels, examples.weights * (1 - labels)]),
        )
        scores = even_knots()
        return Curve(scores=scores, shifts=(model.coef_[0, 0] - 1.0) * scores + model.intercept_[0])
