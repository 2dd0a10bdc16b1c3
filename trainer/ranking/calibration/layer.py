"""A fitted calibration inside the graph."""

import tensorflow as tf

from trainer.config.calibration import CALIBRATIONS
from trainer.ranking.calibration.choose import NONE, Fitted
from trainer.ranking.calibration.contract import NUM_KNOTS, identity


class CalibrationLayer(tf.keras.layers.Layer):
    """Scores to calibrated scores; the identity until `assign` is called."""

    def __init__(self) -> None:
        """Makes the variables, so that a restored model has the curve of its training."""
        super().__init__()
        start = identity()
        self.knots = self._constant("knots", start.scores.tolist(), tf.float32)
        self.shifts = self._constant("shifts", start.shifts.tolist(), tf.float32)
        self._kind = self._constant("kind", CALIBRATIONS.names.index(NONE), tf.int32)

    @property
    def kind(self) -> str:
        """Name of the kind that was fitted."""
        return CALIBRATIONS.names[int(self._kind.numpy())]

    def assign(self, fitted: Fitted) -> None:
        """Takes a fitted curve over."""
        self.knots.assign(fitted.curve.scores)
        self.shifts.assign(fitted.curve.shifts)
        self._kind.assign(CALIBRATIONS.names.index(fitted.kind))

    def call(self, scores: tf.Tensor) -> tf.Tensor:
        """Scores of any shape, float32, to calibrated ones; see `trainer.ranking.calibration.contract.Curve`."""
        knots, shifts = self.knots.value(), self.shifts.value()
        flat = tf.reshape(scores, [-1])
        place = tf.clip_by_value(tf.searchsorted(knots, flat), 1, NUM_KNOTS - 1)
        left, right = tf.gather(knots, place - 1), tf.gather(knots, place)
        low, high = tf.gather(shifts, place - 1), tf.gather(shifts, place)
        shift = low + (high - low) / (right - left) * (flat - left)
        return scores + tf.reshape(shift, tf.shape(scores))

    def _constant(self, name: str, value: object, dtype: tf.DType) -> tf.Variable:
        initializer = tf.keras.initializers.Constant(value)
        shape = tf.TensorShape([]) if isinstance(value, int) else tf.TensorShape([NUM_KNOTS])
        return self.add_weight(name=name, shape=shape, dtype=dtype, trainable=False, initializer=initializer)
