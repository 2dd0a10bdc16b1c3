"""How models are judged. Imports no TensorFlow."""

from dataclasses import dataclass, field
from typing import Literal

from features.errors import ConfigError
from trainer.config.baselines import BaselinesConfig

COLD_ITEMS = "item: cold"
"""Name of the slice of targets without training events."""


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Metrics over the full catalogue, beside baselines on the same split."""

    cutoffs: tuple[int, ...] = (10, 100)
    """Lengths k of the lists that recall@k, NDCG@k and the others judge."""
    exclude_seen: bool = True
    """Whether items the user already interacted with are left out of each list."""
    split: Literal["validation", "test"] = "test"
    """Split whose events are the targets; tune on `validation` only."""
    targets: Literal["all", "next"] = "all"
    """Which of a user's events in the split are to be predicted: `all`, or those of the `next` moment: the next basket
    where a basket's items have the same time, else the next event."""
    baselines: BaselinesConfig = field(default_factory=BaselinesConfig)
    """What the models are compared with."""
    slice_by: tuple[str, ...] = ()
    """Features whose most frequent values are judged apart, beside the slices by history, popularity and novelty."""
    resamples: int = 1000
    """Bootstrap resamples of the users behind each confidence interval."""
    confidence: float = 0.95
    """Level of the intervals, in (0, 1)."""
    seed: int = 0
    """Seed of the resampling."""

    def __post_init__(self) -> None:
        if not self.cutoffs or any(cutoff < 1 for cutoff in self.cutoffs):
            raise ConfigError("evaluation.cutoffs", self.cutoffs, "at least one length, each at least 1")
        if self.resamples < 1:
            raise ConfigError("evaluation.resamples", self.resamples, "at least 1")
        if not 0 < self.confidence < 1:
            raise ConfigError("evaluation.confidence", self.confidence, "a level in (0, 1)")
