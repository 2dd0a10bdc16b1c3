"""How a stage trains: optimizer, strategy and the fields that every stage has. Imports no TensorFlow."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from features.errors import ConfigError

StrategyName: TypeAlias = Literal["default", "mirrored", "multi_worker_mirrored", "parameter_server", "tpu"]
OptimizerKind: TypeAlias = Literal["auto", "adam", "row_wise_adam", "adagrad", "row_wise_adagrad", "sgd"]

_ASYNCHRONOUS_OPTIMIZERS: tuple[OptimizerKind, ...] = ("adagrad", "adam", "sgd")

PrecisionKind: TypeAlias = Literal["float32", "mixed_bfloat16", "mixed_float16"]
InputKind: TypeAlias = Literal["auto", "memory", "stream"]
# Some 3 GB in memory, of each process that trains.
STREAMED_FROM = 20_000_000


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the stages train, whatever they are."""

    input: InputKind = "auto"
    """Where the training events are: `memory` holds them all in every process; `stream` encodes them to disk once and
    holds two blocks of them, and each of several processes reads shards of its own; `auto` streams 20,000,000 events or
    more. The list ranker, `initialisation = "svd"` and `augmentation.substitute` need them in memory."""
    block_events: int = 1_000_000
    """Events of a block when they are streamed, shared by all processes. Examples are shuffled within a block of users
    drawn from everywhere, so that larger ones shuffle better; a million take some 300 MB in all."""

    precision: PrecisionKind = "float32"
    """In which the matrix products of a training step are made: `mixed_bfloat16` and `mixed_float16` round their
    factors, which is faster on hardware that has such products; weights, sums and losses stay float32. With
    `mixed_float16` the loss is scaled, so that small gradients do not vanish."""
    xla: bool = False
    """Whether XLA compiles the steps of one device. Random draws then differ. Each shape of batch takes seconds to
    compile."""

    def __post_init__(self) -> None:
        require("training", self, "block_events", self.block_events >= 1, "at least 1")


class TrainableConfig(Protocol):
    """The fields of a stage's configuration that the training loop reads."""

    @property
    def optimizer(self) -> "OptimizerConfig":
        """How the weights follow the gradient."""

    @property
    def batch_size(self) -> int:
        """Examples a step, over all replicas together."""

    @property
    def epochs(self) -> int:
        """Passes over the training split."""

    @property
    def patience(self) -> int:
        """Epochs without improvement after which the training ends; 0 never ends it early."""

    @property
    def checkpoint_seconds(self) -> float:
        """Seconds between checkpoints within an epoch."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """An optimizer and its learning rate over the training: a linear warm-up, then a cosine to zero or a constant."""

    kind: OptimizerKind = "auto"
    """`adam` learns fast, and each step updates every row of every table; `row_wise_adam` updates only the rows that
    the step looked up, so that a step takes as long whatever the catalogue; `auto` is `row_wise_adam` for tables of
    50,000 rows or more and `adam` for the others. `adagrad` keeps one number a weight instead of two,
    `row_wise_adagrad` one a row; `sgd` keeps none and needs a far higher learning rate."""
    learning_rate: float = 0.003
    """Largest learning rate."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What follows the warm-up; `cosine` ends at zero with the last epoch (https://arxiv.org/abs/1608.03983, Eq. 5)."""
    warmup_steps: int = 100
    """Steps over which the learning rate grows from zero; at most a tenth of the training is used."""

    def __post_init__(self) -> None:
        require("optimizer", self, "learning_rate", 0 < self.learning_rate < math.inf, "a positive number")
        require("optimizer", self, "warmup_steps", self.warmup_steps >= 0, "at least 0")


def check_training(table: str, config: TrainableConfig) -> None:
    """Checks the fields that every stage's training has.

    Raises:
        ConfigError: a field is out of its range.
    """
    for name in ("batch_size", "epochs"):
        require(table, config, name, getattr(config, name) >= 1, "a whole number of at least 1")
    require(table, config, "patience", config.patience >= 0, "at least 0")
    require(table, config, "checkpoint_seconds", config.checkpoint_seconds >= 0, "at least 0 seconds")


def require_asynchronous(table: str, config: TrainableConfig, training: TrainingConfig) -> None:
    """Refuses what workers cannot do that make steps between those of others, on tables that servers hold.

    Raises:
        ConfigError: The optimizer reads the state of a row and writes it in two operations, between which another
            worker may have written, or the loss is scaled by what all steps have in common.
    """
    if config.optimizer.kind not in _ASYNCHRONOUS_OPTIMIZERS:
        kinds = ", ".join(f'"{kind}"' for kind in _ASYNCHRONOUS_OPTIMIZERS)
        expected = f'{kinds} with strategy = "parameter_server": the state of a row is read and written apart'
        raise ConfigError(f"{table}.optimizer.kind", config.optimizer.kind, expected)
    if training.precision == "mixed_float16":
        expected = '"float32" or "mixed_bfloat16" with strategy = "parameter_server"'
        raise ConfigError("training.precision", training.precision, expected)


def require_compilable(training: TrainingConfig, strategy: StrategyName) -> None:
    """Refuses what steps that XLA compiles cannot be combined with.

    Raises:
        ConfigError: `training.xla` is set, and replicas exchange numbers within a step, steps are made elsewhere, or
            they are compiled anyway.
    """
    if training.xla and strategy != "default":
        expected = f'false with strategy = "{strategy}", or strategy = "default": it is for the steps of one device'
        raise ConfigError("training.xla", True, expected)


def require(table: str, config: object, name: str, ok: bool, expected: str) -> None:
    """Refuses a field's value.

    Raises:
        ConfigError: `ok` is false; the error names `table.name`, the value and what was expected.
    """
    if not ok:
        raise ConfigError(f"{table}.{name}", getattr(config, name), expected)
