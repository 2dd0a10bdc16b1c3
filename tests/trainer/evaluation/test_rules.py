"""Rules of rankers that a tree can and cannot tell."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.trainer.evaluation.ranker_lists import Ranker, cares_for, lists_of
from trainer.evaluation.rules import mean_rank_correlation, readable_rules

NAMES = ("first", "second", "third")


class Steps(Ranker):
    """Two scores: above and below the mean of the list in the first feature."""

    def __call__(self, features: np.ndarray, is_item: np.ndarray) -> np.ndarray:
        import tensorflow as tf

        mean = features[..., 0].mean(axis=1, keepdims=True)
        return tf.constant(np.where(features[..., 0] > mean, 1.0, -1.0), tf.float32)


def test_the_first_rule_for_a_ranker_of_one_step_is_the_step() -> None:
    rules = readable_rules(Steps(np.zeros(3)), lists_of(num_lists=40, size=30), NAMES, seed=1)
    assert rules is not None
    # Lists differ in how many of their candidates are above the mean, which no rule can see: small leaves guess at it
    # and so order candidates whose scores are equal.
    assert 0.95 < rules["r_squared"] < 1.0
    assert 0.8 < rules["rank_correlation"] < 1.0
    assert rules["text"].startswith("|--- first <= ")
    assert rules["lists"] == 20


def test_sixteen_leaves_follow_a_slope_nearly() -> None:
    rules = readable_rules(cares_for(1), lists_of(num_lists=60, size=40, short=5), NAMES, seed=1)
    assert rules is not None
    # A sixteenth of a normal distribution a leaf leaves about one part in a hundred of the variance.
    assert 0.95 < rules["r_squared"] < 1.0
    assert 0.95 < rules["rank_correlation"] < 1.0


def test_no_user_teaches_and_judges() -> None:
    lists = replace(lists_of(num_lists=4, size=5), records=np.zeros(4, np.int64))
    assert readable_rules(cares_for(0), lists, NAMES, seed=1) is None


def test_rank_correlation_is_spearmans_and_0_where_all_are_equal() -> None:
    rng = np.random.default_rng(0)
    scores, predicted = rng.normal(size=(2, 8)), rng.integers(0, 3, (2, 8)).astype(float)
    is_item = np.ones((2, 8), bool)
    expected = np.mean([spearmanr(*pair).statistic for pair in zip(scores, predicted, strict=True)])
    assert mean_rank_correlation(scores, predicted, is_item) == pytest.approx(expected)
    assert mean_rank_correlation(scores, np.ones((2, 8)), is_item) == 0.0
    is_item[:, 1:] = False
    assert mean_rank_correlation(scores, predicted, is_item) == 0.0
