"""Losses over lists against their formulas, and what no list may break."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.cascade.losses import LOSSES, lambda_ndcg, logistic, pairwise, softmax

LOGITS = np.array([[1.0, -0.5, 2.0, 0.3]], np.float32)
LABELS = np.array([[1.0, 0.0, 0.0, 1.0]], np.float32)
ALL = np.ones((1, 4), bool)


def test_softmax_is_the_mean_log_chance_of_the_targets() -> None:
    chances = np.exp(LOGITS) / np.exp(LOGITS).sum()
    assert softmax(LOGITS, LABELS, ALL).numpy().item() == pytest.approx(
        -0.5 * (np.log(chances[0, 0]) + np.log(chances[0, 3]))
    )


def test_pairwise_is_the_mean_over_the_pairs_of_unequal_labels() -> None:
    pairs = [(i, j) for i in range(4) for j in range(4) if LABELS[0, i] > LABELS[0, j]]
    expected = np.mean([np.log1p(np.exp(LOGITS[0, j] - LOGITS[0, i])) for i, j in pairs])
    assert pairwise(LOGITS, LABELS, ALL).numpy().item() == pytest.approx(expected, rel=1e-5)


def test_lambda_ndcg_weighs_each_pair_by_what_swapping_it_would_change() -> None:
    order = np.argsort(-LOGITS[0])
    discount = np.empty(4)
    discount[order] = 1 / np.log2(np.arange(2, 6))
    ideal = 1 / np.log2(2) + 1 / np.log2(3)
    expected = sum(
        abs(discount[i] - discount[j]) / ideal * np.log1p(np.exp(LOGITS[0, j] - LOGITS[0, i]))
        for i in range(4)
        for j in range(4)
        if LABELS[0, i] > LABELS[0, j]
    )
    assert lambda_ndcg(LOGITS, LABELS, ALL).numpy().item() == pytest.approx(expected, rel=1e-5)


def test_logistic_is_the_mean_cross_entropy() -> None:
    chance = 1 / (1 + np.exp(-LOGITS))
    expected = -np.mean(LABELS * np.log(chance) + (1 - LABELS) * np.log(1 - chance))
    assert logistic(LOGITS, LABELS, ALL).numpy().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_padding_changes_nothing(name: str) -> None:
    padded = LOSSES[name](
        np.pad(LOGITS, [(0, 0), (0, 3)], constant_values=-1e9),
        np.pad(LABELS, [(0, 0), (0, 3)]),
        np.pad(ALL, [(0, 0), (0, 3)]),
    )
    assert padded.numpy().item() == pytest.approx(LOSSES[name](LOGITS, LABELS, ALL).numpy().item(), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("logits", "labels", "is_item"),
    [
        ([[0.0, 0.0]], [[0.0, 0.0]], [[True, True]]),
        ([[0.0, 0.0]], [[1.0, 1.0]], [[True, True]]),
        ([[1e4, -1e4]], [[0.0, 1.0]], [[True, True]]),
        ([[3.0, 0.0]], [[1.0, 0.0]], [[True, False]]),
        ([[0.0, 0.0]], [[0.0, 0.0]], [[False, False]]),
    ],
)
def test_loss_and_gradient_are_finite(name: str, logits: list, labels: list, is_item: list) -> None:
    values = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = LOSSES[name](values, tf.constant(labels), tf.constant(is_item))
    assert np.isfinite(loss.numpy()).all()
    assert np.isfinite(tape.gradient(loss, values).numpy()).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_against_the_gradient_raises_the_targets(name: str) -> None:
    values = tf.Variable(LOGITS)
    with tf.GradientTape() as tape:
        loss = LOSSES[name](values, tf.constant(LABELS), tf.constant(ALL))
    gradient = tape.gradient(loss, values).numpy()[0]
    assert (gradient[[0, 3]] < 0).all()
    assert gradient[2] > 0
