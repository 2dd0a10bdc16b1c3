"""Several strings at once."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from features.spec.base import Feature, RawColumn, Side, VocabularyOptions


@dataclass(frozen=True, kw_only=True)
class MultiValuedFeature(Feature):
    """Several strings at once, such as genres or tags, through a vocabulary or hash buckets.

    The raw column holds lists of strings, or strings that are split at `separator`.
    """

    separator: str = "|"
    """Splits a raw string into values; not used where the column holds lists."""
    encoding: Literal["vocabulary", "hash"] = "vocabulary"
    """`vocabulary` keeps values apart and can be read; `hash` needs no learning and may collide."""
    num_buckets: int = 1024
    """Number of hash buckets, when `encoding` is `hash`."""
    oov_buckets: int = 1
    """Number of buckets for values outside the vocabulary, when `encoding` is `vocabulary`."""
    min_count: int = 1
    """Occurrences in the training data that a value needs to enter the vocabulary."""
    max_values: int = 16
    """Number of values to keep, from the start of the list."""

    sides: ClassVar[frozenset[Side]] = frozenset({"candidate"})
    is_list: ClassVar[bool] = True
    filter_by: ClassVar[Literal["values"]] = "values"
    has_words: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("separator", len(self.separator) >= 1, "at least one character")
        self._require("num_buckets", self.num_buckets >= 1, "at least 1")
        self._require("oov_buckets", self.oov_buckets >= 1, "at least 1, so that unknown values can be served")
        self._require("min_count", self.min_count >= 1, "at least 1")
        self._require("max_values", self.max_values >= 1, "at least 1")

    @property
    def column(self) -> RawColumn:
        """A list of strings without line breaks, or one string of them."""
        return RawColumn(kind="list", separator=self.separator)

    @property
    def vocabulary(self) -> VocabularyOptions | None:
        """None when values are hashed."""
        if self.encoding == "hash":
            return None
        return VocabularyOptions(oov_buckets=self.oov_buckets, min_count=self.min_count)
