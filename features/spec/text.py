"""Free text."""

from dataclasses import dataclass
from typing import ClassVar

from features.spec.base import ColumnFeature, RawColumn


@dataclass(frozen=True, kw_only=True)
class TextFeature(ColumnFeature):
    """Free text as a bag of hashed words: lower case, split at everything that is not a letter or a digit."""

    num_buckets: int = 8192
    """Number of hash buckets for words."""
    max_tokens: int = 24
    """Number of words to keep, from the start of the text."""

    has_words: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("num_buckets", self.num_buckets >= 1, "at least 1")
        self._require("max_tokens", self.max_tokens >= 1, "at least 1")

    @property
    def column(self) -> RawColumn:
        """Any string."""
        return RawColumn(kind="text")
