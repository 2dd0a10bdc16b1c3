"""How `recommender` trades relevance for diversity in the lists that it answers. Imports no TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from features.kinds import Kinds
from trainer.config.training import require


@dataclass(frozen=True, kw_only=True)
class RerankerConfig:
    """Re-ranking of the cascade's candidates for diversity.

    MMRConfig(diversity=0.2, caps={"genres": 3})
    """

    diversity: float = 0.0
    """Strength where a request gives none, from 0, the order of the second stage, to 1, diversity alone."""
    caps: Mapping[str, int] = field(default_factory=dict)
    """Most items that share a value of an item feature in one answer, by the feature's name, such as `genres = 3`; the
    features are those that requests can filter by value. Where candidates run out, those left over follow."""

    def __post_init__(self) -> None:
        require("export.reranker", self, "diversity", 0 <= self.diversity <= 1, "a strength from 0 to 1")
        require("export.reranker", self, "caps", all(most >= 1 for most in self.caps.values()), "caps of at least 1")


@dataclass(frozen=True, kw_only=True)
class MMRConfig(RerankerConfig):
    """Maximal marginal relevance: each item pays for its similarity to the most similar item above it."""


@dataclass(frozen=True, kw_only=True)
class DPPConfig(RerankerConfig):
    """Greedy MAP of a determinantal point process: each item adds what no combination of items above it covers."""


RERANKERS = Kinds(
    RerankerConfig,
    {
        "mmr": (MMRConfig, "trainer.reranking.mmr:MMR"),
        "dpp": (DPPConfig, "trainer.reranking.dpp:DPP"),
    },
    default="mmr",
)
