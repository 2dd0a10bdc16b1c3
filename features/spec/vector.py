"""Vectors computed beforehand."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from features.spec.base import Feature, RawColumn, RawType


@dataclass(frozen=True, kw_only=True)
class VectorFeature(Feature):
    """A vector computed beforehand, such as the embedding of a text or an image; it brings in other modalities.

    The raw column holds lists of numbers, or strings of them.
    """

    length: int
    """Number of components; a vector of any other length is refused."""
    table: Literal["users"] = "users"
    """Where a query feature comes from; a candidate feature always comes from the items table."""
    normalise: bool = True
    """Whether to scale vectors to norm one, as for embeddings that are compared by cosine. Otherwise the numbers are
    used as they are and should be of the order of one."""

    raw_type: ClassVar[RawType] = "float32"
    is_list: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("length", self.length >= 1, "at least 1 component")

    @property
    def owner(self) -> Literal["user"]:
        """A query's vector comes from the users table."""
        return "user"

    @property
    def column(self) -> RawColumn:
        """A list of numbers, or a string of them."""
        return RawColumn(kind="vector", length=self.length)

    @property
    def fixed_length(self) -> int:
        """The number of components."""
        return self.length
