"""What a user chooses about an index. Imports no TensorFlow."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from features.errors import ConfigError

IndexKind: TypeAlias = Literal["exact", "scann_brute_force", "scann_hash", "scann_tree"]
Precision: TypeAlias = Literal["float32", "bfloat16", "int8"]

EXACT_BELOW_ITEMS = 20_000
"""`auto` answers exactly below this many items: a scan takes well under a millisecond."""

HASH_BELOW_ITEMS = 100_000
"""`auto` hashes without a tree below this many items; above, a tree of about sqrt(n) leaves pays."""


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """How items are indexed, and how much recall may be given up for speed.

        >>> by_size = IndexConfig()  # kind from the catalogue size, recall@100 of 0.97
        >>> more_exact = IndexConfig(kind="scann_tree", target_recall=0.99)
        >>> half_the_bytes = IndexConfig(kind="exact", precision="bfloat16")  # stock operations only

    The rule of `auto` is ScaNN's published rule of thumb: under 20,000 items exact, under 100,000 hashing with
    rescoring, above that a tree with about sqrt(n) leaves (https://github.com/google-research/google-research,
    `scann/docs/algorithms.md`).
    """

    kind: Literal["auto", IndexKind] = "auto"
    """`auto` picks by catalogue size; `exact` needs no ScaNN where it is served."""

    precision: Precision = "float32"
    """How the embeddings that give the final scores are stored: 4, 2 or 1 bytes a component. `bfloat16` is for the
    kind `exact`, `int8` for the ScaNN kinds; ScaNN's graph operations cannot save bfloat16."""

    target_recall: float = 0.97
    """Share of the exact top `tuned_k` that the approximate search must return, in (0, 1]."""

    tuned_k: int = 100
    """Number of items for which leaves and rescoring are tuned; other k scale from there."""

    num_leaves: int | None = None
    """Leaves of the tree; none given: about sqrt(items)."""

    dims_per_block: int = 2
    """Embedding components that share one 4-bit code: 2 gives dimension / 4 bytes of codes an item."""

    anisotropic_threshold: float = 0.2
    """Threshold T of the anisotropic quantisation loss, in cosine units (https://arxiv.org/abs/1908.10396, Eq. 3)."""

    training_items: int = 100_000
    """Items sampled to train the partitions and the codebooks."""

    max_filtered_candidates: int = 8_000
    """Most candidates fetched for one filtered query; a filter so selective that more would be needed is answered by an
    exact scan of the items that pass. At most a 64th of the catalogue is fetched in any case."""

    def __post_init__(self) -> None:
        """Refuses values that no index can be built from.

        Raises:
            ConfigError: a field is out of its range, or kind and precision do not fit each other.
        """
        if not 0.0 < self.target_recall <= 1.0:
            raise ConfigError("index.target_recall", self.target_recall, "a share in (0, 1]")
        if not 0.0 < self.anisotropic_threshold < 1.0:
            raise ConfigError("index.anisotropic_threshold", self.anisotropic_threshold, "a cosine in (0, 1)")
        for name in ("tuned_k", "num_leaves", "dims_per_block", "training_items", "max_filtered_candidates"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"index.{name}", value, "a whole number of at least 1")
        self._check_precision()

    def _check_precision(self) -> None:
        fitting = {"auto": ("float32",), "exact": ("float32", "bfloat16")}.get(self.kind, ("float32", "int8"))
        if self.precision not in fitting:
            raise ConfigError("index.precision", self.precision, f"one of {fitting} for kind {self.kind!r}")

    def kind_for(self, num_items: int) -> IndexKind:
        """Returns the kind to build for a catalogue of `num_items` items."""
        if self.kind != "auto":
            return self.kind
        if num_items < EXACT_BELOW_ITEMS:
            return "exact"
        return "scann_hash" if num_items < HASH_BELOW_ITEMS else "scann_tree"


INDEX_KINDS: tuple[IndexKind, ...] = get_args(IndexKind)
