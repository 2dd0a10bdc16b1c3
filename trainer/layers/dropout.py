"""Dropout that depends on the seed and the step alone, so that a resumed training is the uninterrupted one."""

from dataclasses import dataclass

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
            rate: Share of components that are zeroed.
            step: `[] int64`, the step of the training.
            number: Tells the layers of a model apart: equal numbers draw equal masks.
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


@dataclass(frozen=True, kw_only=True)
class DropoutSeries:
    """Makes the dropout layers of one model of an ensemble, whose masks differ from those of the other models."""

    step: tf.Variable
    """`[] int64`, the step of the training."""
    first: int = 0
    """Number before that of the series' first layer; each model of an ensemble has one of its own."""

    def layer(self, rate: float, number: int) -> StepDropout:
        """Makes the series' layer of this number, which is counted from 1."""
        return StepDropout(rate, step=self.step, number=self.first + number)

    def later(self, by: int) -> "DropoutSeries":
        """Another series, whose numbers begin so much later."""
        return DropoutSeries(step=self.step, first=self.first + by)
