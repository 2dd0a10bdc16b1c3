"""The contract of a feature kind: what it states about itself.

Code that reads, stores, encodes, filters or shows features asks these properties and never which kind a feature is, so
that a new kind needs no change there. No TensorFlow here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, TypeAlias

from features.errors import ConfigError
from features.kinds import kinds_of

RawType: TypeAlias = Literal["string", "int64", "float32"]
Side: TypeAlias = Literal["query", "candidate"]
ColumnKind: TypeAlias = Literal["id", "time", "token", "text", "number", "list", "vector"]

_MISSING: Mapping[RawType, str | int | float] = MappingProxyType({"string": "", "int64": 0, "float32": math.nan})


@dataclass(frozen=True, kw_only=True)
class RawColumn:
    """How the values of a raw table's column are read and checked."""

    kind: ColumnKind
    """`token` is a string that may enter a vocabulary file, so it holds no line break; `text` is any string."""
    separator: str = ""
    """Splits a string into the values of a `list`."""
    length: int = 0
    """Components of a `vector`."""


@dataclass(frozen=True, kw_only=True)
class VocabularyOptions:
    """How a vocabulary is learnt from the training data."""

    oov_buckets: int = 1
    """Number of buckets for values outside the vocabulary."""
    min_count: int = 1
    """Occurrences in the training data that a value needs to enter the vocabulary."""


@dataclass(frozen=True, kw_only=True)
class StatisticsOptions:
    """Which statistics of a number are learnt from the training data, beside its mean and deviation."""

    num_buckets: int = 0
    """Number of quantile buckets; 0 for none."""


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One feature of a query or a candidate. A kind is a subclass with options of its own."""

    name: str
    """Column of the raw table, key in the TFRecords and input of the SavedModels' signatures."""

    sides: ClassVar[frozenset[Side]] = frozenset({"query", "candidate"})
    """Sides of a schema that may have a feature of this kind."""
    raw_type: ClassVar[RawType] = "string"
    """Data type of the values in records and signatures."""
    is_list: ClassVar[bool] = False
    """Whether one example holds a list of values (`[batch, length]`) instead of one (`[batch]`)."""
    filter_by: ClassVar[Literal["values", "range"] | None] = None
    """How requests filter items by the feature and how an evaluation slices by it: by `values`, by a `range` of
    numbers, or not at all."""
    has_words: ClassVar[bool] = False
    """Whether the values are words or names that describe an item, for baselines that compare items by content."""

    def __post_init__(self) -> None:
        is_name = isinstance(self.name, str) and self.name.isidentifier()
        self._require("name", is_name, "a name of letters, digits and underscores")

    @property
    def kind(self) -> str:
        """Name of the kind in a configuration, from the table `features.spec.kinds.FEATURE_KINDS`."""
        kinds = kinds_of(type(self))
        assert kinds is not None, "the package `features.spec` imports the table"
        return kinds.name_of(self)

    @property
    def owner(self) -> Literal["event", "user", "history"]:
        """What one value of a query feature describes: an event, a user, or one event of a user's history."""
        return "event"

    @property
    def is_embedded(self) -> bool:
        """Whether models embed the value; if not, it only looks up what is known of the user, or tells the time."""
        return True

    @property
    def column(self) -> RawColumn | None:
        """How the raw column is read; None for a feature that is derived from other columns."""
        return None

    @property
    def vocabulary(self) -> VocabularyOptions | None:
        """The vocabulary that the feature needs; None if it needs none of its own."""
        return None

    @property
    def statistics(self) -> StatisticsOptions | None:
        """The statistics that the feature needs; None if it needs none."""
        return None

    @property
    def fixed_length(self) -> int | None:
        """Number of values that every list has; None if lists differ in length."""
        return None

    @property
    def missing_value(self) -> str | int | float:
        """What stands for "not given" in records and requests."""
        return missing_value_of(self.raw_type)

    def _require(self, field: str, ok: bool, expected: str) -> None:
        if not ok:
            raise ConfigError(f"features.{self.name or '?'}.{field}", getattr(self, field), expected)


@dataclass(frozen=True, kw_only=True)
class ColumnFeature(Feature):
    """A feature with a column of its own in the interactions or users table, or in the items table."""

    table: Literal["interactions", "users"] = "interactions"
    """Where a query feature comes from; a candidate feature always comes from the items table."""

    @property
    def owner(self) -> Literal["event", "user"]:
        """The user for a column of the users table, else the event."""
        return "user" if self.table == "users" else "event"


def missing_value_of(dtype: RawType) -> str | int | float:
    """What stands for "not given" in records and requests: an empty string, 0 or NaN."""
    return _MISSING[dtype]
