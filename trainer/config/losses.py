"""The kinds of retrieval loss and the options of each. Imports no TensorFlow."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from features.kinds import Kinds
from trainer.config.training import require


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """How each positive is compared with the negatives.

    `softmax`, corrected for how the negatives were drawn, is the best in nearly every comparison; `bce`, `gbce` and
    `bpr` look at each negative by itself.
    """

    MOVED: ClassVar[Mapping[str, str]] = {
        "negatives": "retrieval.negatives.kind",
        **{
            name: f"retrieval.negatives.{name}"
            for name in ("num_negatives", "popularity_power", "memory", "hard_negatives", "index_steps")
        },
    }

    temperature: float = 0.1
    """Scores are divided by it before they are compared."""

    def __post_init__(self) -> None:
        require("loss", self, "temperature", 0 < self.temperature < math.inf, "a positive number")


@dataclass(frozen=True, kw_only=True)
class SoftmaxConfig(LossConfig):
    """Softmax cross-entropy."""


@dataclass(frozen=True, kw_only=True)
class BCEConfig(LossConfig):
    """Binary cross-entropy."""


@dataclass(frozen=True, kw_only=True)
class GBCEConfig(LossConfig):
    """Generalised binary cross-entropy."""

    calibration: float = 0.75
    """From 0 (as `bce`) to 1 (calibrated probabilities)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("loss", self, "calibration", 0 <= self.calibration <= 1, "between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class BPRConfig(LossConfig):
    """Bayesian personalised ranking."""


LOSSES = Kinds(
    LossConfig,
    {
        "softmax": (SoftmaxConfig, "trainer.retrieval.losses.softmax:SoftmaxLoss"),
        "bce": (BCEConfig, "trainer.retrieval.losses.bce:BCELoss"),
        "gbce": (GBCEConfig, "trainer.retrieval.losses.gbce:GBCELoss"),
        "bpr": (BPRConfig, "trainer.retrieval.losses.bpr:BPRLoss"),
    },
    default="softmax",
)
