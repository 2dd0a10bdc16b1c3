"""`tf.distribute` strategies by name."""

import tensorflow as tf

from features.errors import ConfigError
from trainer.config.training import STRATEGY_NAMES, StrategyName


def make_strategy(name: StrategyName) -> tf.distribute.Strategy:
    """The strategy of that name over this machine's devices.

    Raises:
        ConfigError: there is no such strategy.
    """
    if name == "default":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        devices = [device.name for device in tf.config.list_logical_devices("GPU")]
        devices = devices or [device.name for device in tf.config.list_logical_devices("CPU")]
        return tf.distribute.MirroredStrategy(devices)
    raise ConfigError("strategy", name, f"one of {', '.join(STRATEGY_NAMES)}")
