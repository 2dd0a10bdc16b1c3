"""Dropout that depends on the seed and the step alone, so that a resumed training is the uninterrupted one."""

import tensorflow as tf


def replica_number() -> tf.Tensor:
    """`[] int64`: which replica runs this, 0 outside of a strategy."""
    context = tf.distribute.get_replica_context()
    return tf.cast(0 if context is None else context.replica_id_in_sync_group, tf.int64)


class StepDropout(tf.keras.layers.Layer):
    """Zeroes a share of the components and scales the rest up, in training only."""

    def __init__(self, rate: float, *, step: tf.Variable, number: int) -> None:
        """Keeps what the mask is drawn from.

        Args:
            rate: share of components that are zeroed.
            step: `[] int64`, the step of the training.
            number: tells the layers of a model apart: equal numbers draw equal masks.
        """
        super().__init__()
        self.rate = rate
        self.step = step
        self.number = number

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Any shape in, the same shape out."""
        if not training or self.rate == 0:
            return inputs
        seed = tf.stack([self.step, self.number + 1000 * replica_number()])
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, seed=seed)
