"""Identifiers of users and items."""

from dataclasses import dataclass
from typing import Literal

from features.spec.base import Feature, RawColumn, VocabularyOptions


@dataclass(frozen=True, kw_only=True)
class IdFeature(Feature):
    """Identifier of a user or an item: one embedding for each value seen in training, buckets for the others.

    Its name is the schema's `user_id` or `item_id`.
    """

    oov_buckets: int = 1
    """Number of embeddings that all values outside the vocabulary share, by hash."""
    min_count: int = 1
    """Training events that a value needs to get an embedding of its own."""
    embedding: bool = True
    """Whether the models learn an embedding of the id. `false`, of a user: the id only looks up the user's history, so
    that users with the same history get the same recommendations."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("oov_buckets", self.oov_buckets >= 1, "at least 1, so that unknown ids can be served")
        self._require("min_count", self.min_count >= 1, "at least 1")

    @property
    def is_embedded(self) -> bool:
        """As the option says."""
        return self.embedding

    @property
    def owner(self) -> Literal["user"]:
        """On the query side the only id is the user's."""
        return "user"

    @property
    def column(self) -> RawColumn:
        """A string that is never missing."""
        return RawColumn(kind="id")

    @property
    def vocabulary(self) -> VocabularyOptions:
        """Every id that was seen often enough has an embedding of its own."""
        return VocabularyOptions(oov_buckets=self.oov_buckets, min_count=self.min_count)
