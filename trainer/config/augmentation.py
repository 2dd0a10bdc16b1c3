"""Options of data augmentation: random changes of training histories. Imports no TensorFlow."""

from dataclasses import dataclass
from typing import Final

from features.schema import Schema
from trainer.config.training import require

_TABLE: Final = "retrieval.augmentation"
_MOST_NEIGHBOURS = 1_000
_SHARES: Final = ("crop", "mask", "substitute")


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Random changes of histories in training, another draw at each step; what is to be predicted stays as it is.

    For small logs, whose users are few enough to be learnt by heart. Validation, evaluation and serving see true
    histories.
    """

    crop: float = 0.0
    """Share of histories of two items or more that lose their oldest items. How many of n items are kept, the newest
    ones, is drawn from 1 to n - 1. With `examples = "sequence"` it is the share of packed stretches of a user's
    events that are cut in two: what comes after the cut sees nothing before it. A set has no newest items, so
    `examples = "set"` needs 0."""
    mask: float = 0.0
    """Share of the items in histories that are replaced by the unknown item."""
    substitute: float = 0.0
    """Share of the items in histories that are replaced by a similar one; together with `mask` at most 1. It needs all
    events in memory."""
    neighbours: int = 10
    """Size of the list of similar items, by the cosine of their users, that `substitute` draws from; 1,000 at most."""

    def __post_init__(self) -> None:
        for name in _SHARES:
            require(_TABLE, self, name, 0 <= getattr(self, name) <= 1, "a share in [0, 1]")
        require(_TABLE, self, "substitute", self.mask + self.substitute <= 1, "at most 1 together with `mask`")
        is_list = 1 <= self.neighbours <= _MOST_NEIGHBOURS
        require(_TABLE, self, "neighbours", is_list, f"a whole number from 1 to {_MOST_NEIGHBOURS:,}")

    @property
    def is_on(self) -> bool:
        """Whether anything is changed."""
        return any(getattr(self, name) > 0 for name in _SHARES)

    def require_order(self, examples: str) -> None:
        """Refuses what examples without an order cannot have.

        Raises:
            ConfigError: `crop` of sets.
        """
        require(_TABLE, self, "crop", not self.crop or examples != "set", '0, or `examples` other than "set"')

    def require_history(self, schema: Schema) -> None:
        """Refuses to change histories where there are none.

        Raises:
            ConfigError: a share is not 0, and the schema has no history.
        """
        expected = '0, or a feature of kind "history" in [[features.query]]'
        for name in _SHARES:
            require(_TABLE, self, name, schema.history is not None or not getattr(self, name), expected)
