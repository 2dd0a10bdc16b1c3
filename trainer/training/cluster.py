"""The processes and devices that train together, and what this one of them may do."""

from dataclasses import dataclass, field

import tensorflow as tf

from features.errors import ConfigError
from trainer.config.training import STRATEGY_NAMES, StrategyName


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One process among those that train together; by default it is alone."""

    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy, repr=False)
    """How the work is spread over devices; models and optimizers are made within its scope."""

    @property
    def num_replicas(self) -> int:
        """Equal parts of a batch, one a device, over all processes."""
        return int(self.strategy.num_replicas_in_sync)


def make_cluster(name: StrategyName) -> Cluster:
    """This process alone, with the strategy of that name over the machine's devices.

    Raises:
        ConfigError: there is no such strategy.
    """
    if name == "default":
        return Cluster()
    if name == "mirrored":
        devices = [device.name for device in tf.config.list_logical_devices("GPU")]
        devices = devices or [device.name for device in tf.config.list_logical_devices("CPU")]
        return Cluster(strategy=tf.distribute.MirroredStrategy(devices))
    raise ConfigError("strategy", name, f"one of {', '.join(STRATEGY_NAMES)}")
