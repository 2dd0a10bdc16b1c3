"""Strings that are encoded through a vocabulary or by hash, whether one at a time or several at once."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from features.spec.base import Feature, VocabularyOptions


@dataclass(frozen=True, kw_only=True)
class StringFeature(Feature):
    """Strings through a vocabulary learnt from the training data or through hash buckets."""

    encoding: Literal["vocabulary", "hash"] = "vocabulary"
    """`vocabulary` keeps values apart and can be read; `hash` needs no learning and may collide."""
    num_buckets: int = 1024
    """Number of hash buckets, when `encoding` is `hash`."""
    oov_buckets: int = 1
    """Number of buckets for values outside the vocabulary, when `encoding` is `vocabulary`."""
    min_count: int = 1
    """Occurrences in the training data that a value needs to enter the vocabulary."""

    filter_by: ClassVar[Literal["values"]] = "values"
    has_words: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("num_buckets", self.num_buckets >= 1, "at least 1")
        self._require("oov_buckets", self.oov_buckets >= 1, "at least 1, so that unknown values can be served")
        self._require("min_count", self.min_count >= 1, "at least 1")

    @property
    def vocabulary(self) -> VocabularyOptions | None:
        """None when values are hashed."""
        if self.encoding == "hash":
            return None
        return VocabularyOptions(oov_buckets=self.oov_buckets, min_count=self.min_count)
