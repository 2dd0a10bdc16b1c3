"""What a user chooses about semantic ids. Imports no TensorFlow."""

from dataclasses import dataclass

from trainer.config.training import require

_MOST_LEVELS, _MOST_CODES = 16, 65_536


@dataclass(frozen=True, kw_only=True)
class SemanticIdsConfig:
    """Semantic ids: a few codes that say what kind of item it is, learnt from the features and shared by like items."""

    levels: int = 0
    """Codes that an item has, each finer than the one before; 0 for no semantic ids."""
    codes: int = 64
    """Values that a code may have, 65,536 at most."""
    components: int = 64
    """Components of the content vectors that the codes are made from."""

    def __post_init__(self) -> None:
        levels = f"a whole number from 0 to {_MOST_LEVELS}"
        require("semantic_ids", self, "levels", 0 <= self.levels <= _MOST_LEVELS, levels)
        codes = f"a whole number from 2 to {_MOST_CODES:,}"
        require("semantic_ids", self, "codes", 2 <= self.codes <= _MOST_CODES, codes)
        require("semantic_ids", self, "components", self.components >= 1, "at least 1")
