"""The kinds of index and the options of each. Imports no TensorFlow."""

from dataclasses import dataclass
from typing import Literal

from features.kinds import Kinds, option_names
from trainer.config.training import require

EXACT_BELOW_ITEMS = 20_000
"""`auto` answers exactly below this many items: a scan takes well under a millisecond."""

HASH_BELOW_ITEMS = 100_000
"""`auto` hashes without a tree below this many items; above, a tree of about sqrt(n) leaves pays."""


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """How items are indexed.

    >>> AutoConfig()  # kind from the catalogue size, recall@100 of 0.97 # doctest: +ELLIPSIS
    AutoConfig(...)
    >>> more_exact = ScannTreeConfig(target_recall=0.99)
    >>> half_the_bytes = ExactConfig(precision="bfloat16")

    `auto` picks by catalogue size; `exact` needs no ScaNN where it is served.
    """

    tuned_k: int = 100
    """Number of items for which recall is measured, and leaves and rescoring are tuned; other k scale from there."""
    max_filtered_candidates: int = 8_000
    """Most candidates fetched for one filtered query; a filter so selective that more would be needed is answered by an
    exact scan of the items that pass. At most a 64th of the catalogue is fetched in any case."""

    def __post_init__(self) -> None:
        """Refuses values that no index can be built from.

        Raises:
            ConfigError: A field is out of its range.
        """
        for name in ("tuned_k", "max_filtered_candidates"):
            require("index", self, name, getattr(self, name) >= 1, "a whole number of at least 1")

    def for_catalogue(self, num_items: int) -> "IndexConfig":
        """Returns the options of the index to build for a catalogue of `num_items` items."""
        return self


@dataclass(frozen=True, kw_only=True)
class ExactConfig(IndexConfig):
    """A scan over all items, with stock TensorFlow operations only."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """How the embeddings are stored: 4 or 2 bytes a component."""


@dataclass(frozen=True, kw_only=True)
class ScannBruteForceConfig(IndexConfig):
    """ScaNN's scan over all items, in float32: with int8, ScaNN's graph operations crash."""


@dataclass(frozen=True, kw_only=True)
class HashingConfig(IndexConfig):
    """How much recall may be given up for speed, and how items are hashed."""

    target_recall: float = 0.97
    """Share of the exact top `tuned_k` that the approximate search must return, in (0, 1]."""
    dims_per_block: int = 2
    """Embedding components that share one 4-bit code: 2 gives dimension / 4 bytes of codes an item."""
    anisotropic_threshold: float = 0.2
    """Threshold T of the anisotropic quantisation loss, in cosine units (https://arxiv.org/abs/1908.10396, Eq. 3)."""
    training_items: int = 100_000
    """Items sampled to train the partitions and the codebooks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("index", self, "target_recall", 0.0 < self.target_recall <= 1.0, "a share in (0, 1]")
        is_cosine = 0.0 < self.anisotropic_threshold < 1.0
        require("index", self, "anisotropic_threshold", is_cosine, "a cosine in (0, 1)")
        for name in ("dims_per_block", "training_items"):
            require("index", self, name, getattr(self, name) >= 1, "a whole number of at least 1")


@dataclass(frozen=True, kw_only=True)
class ScannHashConfig(HashingConfig):
    """Hashing with rescoring."""

    precision: Literal["float32", "int8"] = "float32"
    """How the embeddings that give the final scores are stored: 4 bytes or 1 byte a component. ScaNN's graph operations
    cannot save bfloat16."""


@dataclass(frozen=True, kw_only=True)
class TreeConfig(HashingConfig):
    """How many leaves a tree has."""

    num_leaves: int | None = None
    """Leaves of the tree; none given: about sqrt(items)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        is_number = self.num_leaves is None or self.num_leaves >= 1
        require("index", self, "num_leaves", is_number, "a whole number of at least 1")


@dataclass(frozen=True, kw_only=True)
class ScannTreeConfig(TreeConfig, ScannHashConfig):
    """A tree whose leaves are hashed, with rescoring."""


@dataclass(frozen=True, kw_only=True)
class AutoConfig(TreeConfig):
    """The kind by ScaNN's published rule of thumb.

    Under 20,000 items exact, under 100,000 hashing with rescoring, above that a tree with about sqrt(n) leaves
    (https://github.com/google-research/google-research, `scann/docs/algorithms.md`).
    """

    def for_catalogue(self, num_items: int) -> IndexConfig:
        """Returns the chosen kind with those of the options that it has."""
        chosen: type[IndexConfig] = ScannTreeConfig
        if num_items < HASH_BELOW_ITEMS:
            chosen = ExactConfig if num_items < EXACT_BELOW_ITEMS else ScannHashConfig
        shared = set(option_names(chosen)) & set(option_names(type(self)))
        return chosen(**{name: getattr(self, name) for name in shared})


INDEXES = Kinds(
    IndexConfig,
    {
        "auto": (AutoConfig, None),
        "exact": (ExactConfig, "trainer.index.exact:ExactIndex"),
        "scann_brute_force": (ScannBruteForceConfig, "trainer.index.scann_brute_force:ScannBruteForceIndex"),
        "scann_hash": (ScannHashConfig, "trainer.index.scann_hash:ScannHashIndex"),
        "scann_tree": (ScannTreeConfig, "trainer.index.scann_tree:ScannTreeIndex"),
    },
    default="auto",
)
