import numpy as np
import pytest
import tensorflow as tf

from trainer.config.losses import GBCEConfig
from trainer.retrieval.losses.bce import bce_loss
from trainer.retrieval.losses.bpr import bpr_loss
from trainer.retrieval.losses.gbce import GBCELoss, gbce_power

POSITIVES = tf.constant([1.0, -0.5, 2.0])
NEGATIVES = tf.constant([[0.5, -1.0, 3.0], [0.0, 1.0, 2.0]])
MASK = tf.constant([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
QUERY = tf.constant([0, 1, 1])


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


def test_bce_is_the_formula():
    loss = bce_loss(POSITIVES, NEGATIVES, MASK, QUERY, power=0.5)
    negative = -np.log(1 - sigmoid(NEGATIVES)) * MASK.numpy()
    expected = [
        (-0.5 * np.log(sigmoid(positive)) + negative[query].sum()) / (1 + MASK.numpy()[query].sum())
        for positive, query in zip(POSITIVES, QUERY.numpy(), strict=True)
    ]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_bpr_is_the_formula():
    loss = bpr_loss(POSITIVES, NEGATIVES, MASK, QUERY)
    expected = [
        -np.log(sigmoid(1.0 - np.array([0.5, -1.0]))).mean(),
        -np.log(sigmoid(-0.5 - np.array([0.0, 1.0, 2.0]))).mean(),
        -np.log(sigmoid(2.0 - np.array([0.0, 1.0, 2.0]))).mean(),
    ]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_gbce_takes_its_power_from_the_share_of_the_catalogue():
    """Of the eleven other items each positive is compared with three."""
    loss = GBCELoss(GBCEConfig(calibration=0.5), 12).compare(POSITIVES, NEGATIVES, MASK, QUERY)
    power = gbce_power(3 / 11, 0.5)
    np.testing.assert_allclose(loss, bce_loss(POSITIVES, NEGATIVES, MASK, QUERY, power=power), rtol=1e-6)


def test_gbce_power_runs_from_plain_to_the_sampling_rate():
    assert gbce_power(0.1, 0.0) == pytest.approx(1.0)
    assert gbce_power(0.1, 1.0) == pytest.approx(0.1)
    assert gbce_power(1.0, 0.75) == pytest.approx(1.0)


def test_large_logits_and_masked_queries_stay_finite():
    positives, negatives = tf.constant([-1e4]), tf.constant([[1e4, 1e4]])
    for loss in (bce_loss, bpr_loss):
        assert np.isfinite(loss(positives, negatives, tf.ones([1, 2]), tf.constant([0]))).all()
        assert np.isfinite(loss(positives, negatives, tf.zeros([1, 2]), tf.constant([0]))).all()
