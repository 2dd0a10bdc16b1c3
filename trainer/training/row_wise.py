"""Optimizers that read and write only those rows of a table that a step looked up, however many rows it has.

A table is a weight of at least `min_rows` rows; smaller weights follow the dense form. A row that occurs several times
in a batch, on one replica or on several, comes once, with the sum of its gradients: Keras adds them up before.
"""

from collections.abc import Sequence
from typing import TypeAlias

import tensorflow as tf

LearningRate: TypeAlias = tf.keras.optimizers.schedules.LearningRateSchedule


class RowWiseAdam(tf.keras.optimizers.Adam):
    """Adam (https://arxiv.org/abs/1412.6980, Algorithm 1) whose tables count the steps of each row.

    Each row is moved as by an Adam of its own: its moments decay, and their bias is corrected, by the steps that had a
    gradient for the row. A row with a gradient in every step moves as in the dense form.
    """

    def __init__(self, learning_rate: LearningRate, *, min_rows: int) -> None:
        """Takes the learning rate of each step, and how many rows make a weight a table."""
        super().__init__(learning_rate, jit_compile=False)
        self._min_rows = min_rows

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Creates both moments of each weight, and one number for each row of a table."""
        super().build(var_list)
        if not hasattr(self, "_steps"):
            rows = [weight.shape[:1] if is_table(weight, self._min_rows) else [0] for weight in var_list]
            self._steps = [
                self.add_variable_from_reference(weight, "steps", shape=shape)
                for weight, shape in zip(var_list, rows, strict=True)
            ]

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Moves a weight; of a table the rows with a gradient."""
        if not is_table(variable, self._min_rows):
            super().update_step(gradient, variable)
            return
        place = self._index_dict[self._var_key(variable)]
        first, second, steps = self._momentums[place], self._velocities[place], self._steps[place]
        slices = rows_with_gradient(gradient)
        values, rows = slices.values, slices.indices
        step = tf.gather(steps, rows) + 1.0
        mean = self.beta_1 * tf.gather(first, rows) + (1.0 - self.beta_1) * values
        square = self.beta_2 * tf.gather(second, rows) + (1.0 - self.beta_2) * tf.square(values)
        correction = tf.sqrt(1.0 - tf.pow(self.beta_2, step)) / (1.0 - tf.pow(self.beta_1, step))
        rate = by_row(self.learning_rate * correction, values)
        steps.scatter_update(tf.IndexedSlices(step, rows))
        first.scatter_update(tf.IndexedSlices(mean, rows))
        second.scatter_update(tf.IndexedSlices(square, rows))
        variable.scatter_sub(tf.IndexedSlices(rate * mean / (tf.sqrt(square) + self.epsilon), rows))


class RowWiseAdagrad(tf.keras.optimizers.Adagrad):
    """Adagrad with one number for each row of a table, the sum of its gradients' mean squares.

    A table of 64 components has a state of a 64th of its size (https://arxiv.org/abs/2104.05158, row-wise AdaGrad).
    """

    def __init__(self, learning_rate: LearningRate, *, min_rows: int, initial_accumulator_value: float) -> None:
        """Takes the learning rate, how many rows make a weight a table, and what the sums start from."""
        super().__init__(learning_rate, initial_accumulator_value=initial_accumulator_value, jit_compile=False)
        self._min_rows = min_rows

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Creates the sums: one for each row of a table, one for each number of another weight."""
        tf.keras.optimizers.Optimizer.build(self, var_list)
        if not hasattr(self, "_accumulators"):
            shapes = [weight.shape[:1] if is_table(weight, self._min_rows) else weight.shape for weight in var_list]
            self._accumulators = [
                self.add_variable_from_reference(
                    weight, "accumulator", shape, tf.fill(shape, self.initial_accumulator_value)
                )
                for weight, shape in zip(var_list, shapes, strict=True)
            ]

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Moves a weight; of a table the rows with a gradient."""
        if not is_table(variable, self._min_rows):
            super().update_step(gradient, variable)
            return
        sums = self._accumulators[self._index_dict[self._var_key(variable)]]
        slices = rows_with_gradient(gradient)
        values, rows = slices.values, slices.indices
        components = list(range(1, values.shape.rank))
        total = tf.gather(sums, rows) + tf.reduce_mean(tf.square(values), axis=components)
        sums.scatter_update(tf.IndexedSlices(total, rows))
        rate = by_row(self.learning_rate / tf.sqrt(total + self.epsilon), values)
        variable.scatter_sub(tf.IndexedSlices(rate * values, rows))


def is_table(weight: tf.Variable, min_rows: int) -> bool:
    """Whether a weight has at least so many rows; a number has none."""
    return weight.shape.rank > 0 and int(weight.shape[0]) >= min_rows


def rows_with_gradient(gradient: tf.Tensor | tf.IndexedSlices) -> tf.IndexedSlices:
    """The gradient by rows; a dense one has all of them."""
    if isinstance(gradient, tf.IndexedSlices):
        return gradient
    return tf.IndexedSlices(gradient, tf.range(tf.shape(gradient)[0]))


def each_row_once(gradient: tf.Tensor | tf.IndexedSlices | None) -> tf.Tensor | tf.IndexedSlices | None:
    """A gradient by rows with each row once, the sum of its slices; any other gradient as it is."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def by_row(numbers: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """`[n] float32` in a shape that multiplies the rows of values, `[n, ...] float32`."""
    return tf.reshape(numbers, [-1] + [1] * (values.shape.rank - 1))
