"""Integrated gradients against functions whose integrals are known."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.layers.attribution import mean_gradients

BASELINE, VALUES = tf.constant([[1.0, -1.0, 0.5]]), tf.constant([[3.0, 0.0, -2.0], [1.0, -1.0, 0.5]])


@pytest.mark.parametrize("steps", [1, 7])
def test_the_gradient_of_a_linear_function_is_its_weights(steps: int) -> None:
    weights = tf.constant([2.0, -3.0, 0.25])
    found = mean_gradients(lambda points: tf.reduce_sum(points * weights, axis=-1), BASELINE, VALUES, steps)
    np.testing.assert_allclose(found, [weights, weights], rtol=1e-6)


def test_a_product_is_shared_as_its_integral_says() -> None:
    def product(points: tf.Tensor) -> tf.Tensor:
        return points[..., 0] * points[..., 1]

    found = mean_gradients(product, BASELINE, VALUES).numpy()
    # d(xy)/dx = y, whose mean on a straight line is that of both ends.
    np.testing.assert_allclose(found[0], [(-1.0 + 0.0) / 2, (1.0 + 3.0) / 2, 0.0], rtol=1e-5)
    np.testing.assert_allclose(found[1], [-1.0, 1.0, 0.0], rtol=1e-5)


def test_contributions_sum_up_to_the_difference_but_for_the_kinks_of_a_network() -> None:
    rng = np.random.default_rng(0)
    first, last = (tf.constant(rng.normal(size=shape), tf.float32) for shape in ((3, 16), (16, 1)))

    def network(points: tf.Tensor) -> tf.Tensor:
        hidden = tf.nn.relu(tf.reshape(points, [-1, 3]) @ first - 0.5)
        return tf.reshape(hidden @ last, tf.shape(points)[:-1])

    difference = (network(VALUES) - network(BASELINE)).numpy()
    for steps in (16, 256):
        total = tf.reduce_sum(mean_gradients(network, BASELINE, VALUES, steps) * (VALUES - BASELINE), axis=-1)
        np.testing.assert_allclose(total, difference, atol=10 / steps)
