"""Optimizers and their learning rates."""

import math
from collections.abc import Callable, Mapping
from functools import partial

import tensorflow as tf

from trainer.config.training import OptimizerConfig, OptimizerKind


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


OPTIMIZERS: Mapping[OptimizerKind, Callable[[WarmupSchedule], tf.keras.optimizers.Optimizer]] = {
    "adam": partial(tf.keras.optimizers.Adam, jit_compile=False),
    "adagrad": partial(tf.keras.optimizers.Adagrad, initial_accumulator_value=0.1, jit_compile=False),
    "sgd": partial(tf.keras.optimizers.SGD, jit_compile=False),
}


def make_optimizer(config: OptimizerConfig, total_steps: int) -> tf.keras.optimizers.Optimizer:
    """The optimizer that the configuration names."""
    return OPTIMIZERS[config.kind](WarmupSchedule(config, total_steps))
