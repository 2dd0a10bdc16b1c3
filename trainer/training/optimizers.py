"""Optimizers and their learning rates."""

import math
from collections.abc import Callable, Mapping
from functools import partial

import tensorflow as tf

from trainer.config.training import OptimizerConfig, OptimizerKind, PrecisionKind
from trainer.training.row_wise import RowWiseAdagrad, RowWiseAdam


class WarmupSchedule(tf.keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then a cosine to zero (https://arxiv.org/abs/1608.03983, Eq. 5) or a constant."""

    def __init__(self, config: OptimizerConfig, total_steps: int) -> None:
        """Takes the length of the whole training, of which the warm-up is at most a tenth."""
        self.peak = config.learning_rate
        self.cosine = config.schedule == "cosine"
        self.warmup = float(max(1, min(config.warmup_steps, total_steps // 10)))
        self.total = float(max(total_steps, 1))

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """`[] int64`, steps done, to `[] float32`."""
        done = tf.cast(step, tf.float32)
        rising = tf.minimum((done + 1.0) / self.warmup, 1.0)
        progress = tf.clip_by_value((done - self.warmup) / max(1.0, self.total - self.warmup), 0.0, 1.0)
        falling = 0.5 * (1.0 + tf.cos(math.pi * progress)) if self.cosine else 1.0
        return self.peak * rising * falling


# A smaller weight is no table, or one that a step touches most rows of.
_FEW_ROWS = 1000
# Up to this size the dense form costs little.
LARGE_TABLE = 50_000

_ADAGRAD_START = 0.1

OPTIMIZERS: Mapping[OptimizerKind, Callable[[WarmupSchedule], tf.keras.optimizers.Optimizer]] = {
    "auto": partial(RowWiseAdam, min_rows=LARGE_TABLE),
    "adam": partial(tf.keras.optimizers.Adam, jit_compile=False),
    "row_wise_adam": partial(RowWiseAdam, min_rows=_FEW_ROWS),
    "adagrad": partial(tf.keras.optimizers.Adagrad, initial_accumulator_value=_ADAGRAD_START, jit_compile=False),
    "row_wise_adagrad": partial(RowWiseAdagrad, min_rows=_FEW_ROWS, initial_accumulator_value=_ADAGRAD_START),
    "sgd": partial(tf.keras.optimizers.SGD, jit_compile=False),
}


def make_optimizer(
    config: OptimizerConfig, total_steps: int, precision: PrecisionKind = "float32"
) -> tf.keras.optimizers.Optimizer:
    """The optimizer that the configuration names.

    With `mixed_float16` it scales the loss, and leaves out steps whose gradients are not finite.
    """
    optimizer = OPTIMIZERS[config.kind](WarmupSchedule(config, total_steps))
    if precision != "mixed_float16":
        return optimizer
    return tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
