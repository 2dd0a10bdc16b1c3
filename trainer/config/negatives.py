"""The sources of negatives and the options of each. Imports no TensorFlow."""

from dataclasses import dataclass

from features.errors import ConfigError
from features.kinds import Kinds
from trainer.config.training import require


@dataclass(frozen=True, kw_only=True)
class NegativesConfig:
    """Which items each positive is compared with.

    `all`: the whole catalogue, right for up to some ten thousand items; `uniform`: items drawn alike; `popular`: drawn
    by train frequency; `in_batch`: the batch's other positives; `mixed`: these and uniform ones; `cross_batch`: the
    positives of this batch and of the last ones before it.
    """


@dataclass(frozen=True, kw_only=True)
class AllConfig(NegativesConfig):
    """The whole catalogue."""


@dataclass(frozen=True, kw_only=True)
class SampledConfig(NegativesConfig):
    """Some of the catalogue's items."""

    hard_negatives: int = 0
    """Items added for each query that an index of the current model ranks first for it; 0 adds none."""
    index_steps: int = 100
    """Steps after which that index is made anew."""

    def __post_init__(self) -> None:
        require("negatives", self, "hard_negatives", self.hard_negatives >= 0, "at least 0")
        require("negatives", self, "index_steps", self.index_steps >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class DrawnConfig(SampledConfig):
    """Items that are drawn from the catalogue."""

    num_negatives: int = 2048
    """Items drawn a step and shared by the batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("negatives", self, "num_negatives", self.num_negatives >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class UniformConfig(DrawnConfig):
    """Items that are drawn alike."""


@dataclass(frozen=True, kw_only=True)
class PopularConfig(DrawnConfig):
    """Items that are drawn by their train frequency."""

    popularity_power: float = 0.75
    """Exponent of the train frequency."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("negatives", self, "popularity_power", self.popularity_power >= 0, "at least 0")


@dataclass(frozen=True, kw_only=True)
class InBatchConfig(SampledConfig):
    """The other positives of the batch."""


@dataclass(frozen=True, kw_only=True)
class MixedConfig(DrawnConfig):
    """The other positives of the batch and items that are drawn alike."""


@dataclass(frozen=True, kw_only=True)
class CrossBatchConfig(SampledConfig):
    """The positives of the batch and of the ones before it."""

    memory: int = 16_384
    """Positives of earlier batches that are kept."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("negatives", self, "memory", self.memory >= 1, "at least 1")


NEGATIVES = Kinds(
    NegativesConfig,
    {
        "all": (AllConfig, "trainer.retrieval.negatives.all:AllItems"),
        "uniform": (UniformConfig, "trainer.retrieval.negatives.uniform:UniformItems"),
        "popular": (PopularConfig, "trainer.retrieval.negatives.popular:PopularItems"),
        "in_batch": (InBatchConfig, "trainer.retrieval.negatives.in_batch:InBatchItems"),
        "mixed": (MixedConfig, "trainer.retrieval.negatives.mixed:MixedItems"),
        "cross_batch": (CrossBatchConfig, "trainer.retrieval.negatives.cross_batch:CrossBatchItems"),
    },
    default="all",
)


def refuse_kept_negatives(config: NegativesConfig, because: str) -> None:
    """Refuses negatives that are kept from one step to the next.

    Args:
        config: The negatives.
        because: What they do not go with and why, as the end of the error.

    Raises:
        ConfigError: They are those of earlier batches, or found by an index that is made anew now and then.
    """
    if isinstance(config, CrossBatchConfig):
        expected = f'"in_batch", "mixed", "popular", "uniform" or "all" {because}'
        raise ConfigError("retrieval.negatives.kind", "cross_batch", expected)
    if isinstance(config, SampledConfig) and config.hard_negatives:
        raise ConfigError("retrieval.negatives.hard_negatives", config.hard_negatives, f"0 {because}")
