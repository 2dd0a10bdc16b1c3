"""What each input of a model contributes to its output: integrated gradients, and their form as an answer.

Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017, https://arxiv.org/abs/1703.01365.

Shapes: B queries, L explained candidates, F features, H entries of the history.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

_STEPS = 64


class Explanation(NamedTuple):
    """Why candidates have their scores, beside the average candidate of their list.

    A candidate's log chance is `baseline` plus the sum of its `features`. `history` distributes what features of the
    history contribute among the history's entries, so it is a part of that sum and nothing on top of it.
    """

    baseline: tf.Tensor
    """`[B, 1] float32`: the log chance of a candidate that has the mean value of the list in each feature."""
    features: tf.Tensor
    """`[B, L, F] float32`: what each feature adds to the log chance."""
    history: tf.Tensor
    """`[B, L, H] float32`: what each entry of the history adds; 0 for padding, and for orders that do not tell."""


def mean_gradients(
    function: Callable[[tf.Tensor], tf.Tensor], baseline: tf.Tensor, values: tf.Tensor, steps: int = _STEPS
) -> tf.Tensor:
    """The mean gradient on the straight line from a baseline to the values, the integral in Eq. 1 by the midpoint rule.

    Times `values - baseline` it is the integrated gradients. They sum up to the difference of the function's values at
    both ends (Proposition 1), but for the error of the midpoint rule: none for a linear function.

    Args:
        function: `[steps, ...] float32` points to one number each. It must not mix points.
        baseline: Where the line begins, `[...] float32`, of a shape that broadcasts to that of `values`.
        values: Where it ends.
        steps: Points on the line.

    Returns:
        `[...] float32` in the shape of `values`.
    """
    shape = tf.concat([[steps], tf.ones([tf.rank(values)], tf.int32)], axis=0)
    places = tf.reshape((tf.range(steps, dtype=tf.float32) + 0.5) / steps, shape)
    points = baseline + places * (values - baseline)
    with tf.GradientTape() as tape:
        tape.watch(points)
        outputs = function(points)
    return tf.reduce_mean(tape.gradient(outputs, points), axis=0)
