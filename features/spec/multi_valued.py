"""Several strings at once."""

from dataclasses import dataclass
from typing import ClassVar

from features.spec.base import RawColumn, Side
from features.spec.strings import StringFeature


@dataclass(frozen=True, kw_only=True)
class MultiValuedFeature(StringFeature):
    """Several strings at once, such as genres or tags, through a vocabulary or hash buckets.

    The raw column holds lists of strings, lists in brackets written into one string (JSON's, Python's and NumPy's
    notation), or strings that are split at `separator`. White space around the parts of a string is dropped.
    """

    separator: str = "|"
    """Splits a raw string into values; not used where the column holds lists."""
    max_values: int = 16
    """Number of values to keep, from the start of the list."""

    sides: ClassVar[frozenset[Side]] = frozenset({"candidate"})
    is_list: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("separator", len(self.separator) >= 1, "at least one character")
        self._require("max_values", self.max_values >= 1, "at least 1")

    @property
    def column(self) -> RawColumn:
        """A list of strings without line breaks, or one string of them."""
        return RawColumn(kind="list", separator=self.separator)
