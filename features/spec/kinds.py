"""Feature specifications: what a column means and how it is encoded. No TensorFlow here.

A spec is read from a TOML table whose `kind` names the class:

    [[features.candidate]]
    kind = "multi_valued"
    name = "genres"
    separator = "|"

`name` is the column in the raw table, the key in the TFRecord and the input of the SavedModel's signatures.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from features.errors import ConfigError

RawType: TypeAlias = Literal["string", "int64", "float32"]
TimePart: TypeAlias = Literal["hour_of_day", "day_of_week", "month", "year"]

# Number of distinct values of each part; years are counted from 1970 and clipped, so that no date is an error.
TIME_PART_SIZES: Mapping[TimePart, int] = MappingProxyType(
    {"hour_of_day": 24, "day_of_week": 7, "month": 12, "year": 130}
)


def _require(spec: object, field: str, ok: bool, expected: str) -> None:
    if not ok:
        name = getattr(spec, "name", "") or "?"
        raise ConfigError(f"features.{name}.{field}", getattr(spec, field), expected)


def _check_name(spec: object) -> None:
    name = getattr(spec, "name", None)
    _require(spec, "name", isinstance(name, str) and name.isidentifier(), "a name of letters, digits and underscores")


@dataclass(frozen=True, kw_only=True)
class IdFeature:
    """The identifier of a user or an item: one embedding per value seen in training, buckets for the rest."""

    name: str
    """Column of the raw table; the schema's `user_id` or `item_id`."""
    oov_buckets: int = 1
    """Embeddings shared, by hash, by all values that the vocabulary does not hold."""
    min_count: int = 1
    """Training events a value needs to get an embedding of its own."""
    kind: Literal["id"] = "id"

    def __post_init__(self) -> None:
        _check_name(self)
        _require(self, "oov_buckets", self.oov_buckets >= 1, "at least 1, so that unknown ids can be served")
        _require(self, "min_count", self.min_count >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class CategoricalFeature:
    """One of many strings, through a vocabulary learnt from the training data or through hash buckets."""

    name: str
    """Column of the raw table."""
    table: Literal["interactions", "users"] = "interactions"
    """Where a query feature comes from; a candidate feature always comes from the items table."""
    encoding: Literal["vocabulary", "hash"] = "vocabulary"
    """`vocabulary` keeps values apart and can be read; `hash` needs no learning and may collide."""
    num_buckets: int = 1024
    """Hash buckets, when `encoding` is `hash`."""
    oov_buckets: int = 1
    """Buckets for values outside the vocabulary, when `encoding` is `vocabulary`."""
    min_count: int = 1
    """Occurrences in the training data a value needs to enter the vocabulary."""
    kind: Literal["categorical"] = "categorical"

    def __post_init__(self) -> None:
        _check_name(self)
        _require(self, "num_buckets", self.num_buckets >= 1, "at least 1")
        _require(self, "oov_buckets", self.oov_buckets >= 1, "at least 1, so that unknown values can be served")
        _require(self, "min_count", self.min_count >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class NumericFeature:
    """A number, standardised by the training data's mean and deviation or put into its quantile buckets."""

    name: str
    """Column of the raw table; a missing value is NaN in records and requests."""
    table: Literal["interactions", "users"] = "interactions"
    """Where a query feature comes from; a candidate feature always comes from the items table."""
    encoding: Literal["standardise", "buckets"] = "standardise"
    """`standardise` suits linear effects, `buckets` any shape."""
    num_buckets: int = 16
    """Quantile buckets, when `encoding` is `buckets`."""
    kind: Literal["numeric"] = "numeric"

    def __post_init__(self) -> None:
        _check_name(self)
        _require(self, "num_buckets", self.num_buckets >= 2, "at least 2")


@dataclass(frozen=True, kw_only=True)
class TextFeature:
    """Free text as a bag of hashed words: lower case, split at everything that is not a letter or a digit."""

    name: str
    """Column of the raw table."""
    table: Literal["interactions", "users"] = "interactions"
    """Where a query feature comes from; a candidate feature always comes from the items table."""
    num_buckets: int = 8192
    """Hash buckets for words."""
    max_tokens: int = 24
    """Words kept, from the start of the text."""
    kind: Literal["text"] = "text"

    def __post_init__(self) -> None:
        _check_name(self)
        _require(self, "num_buckets", self.num_buckets >= 1, "at least 1")
        _require(self, "max_tokens", self.max_tokens >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class MultiValuedFeature:
    """Several strings at once, such as genres or tags, through a vocabulary or hash buckets."""

    name: str
    """Column of the raw table: a list of strings, or one string cut at `separator`."""
    separator: str = "|"
    """Cuts a raw string into values; not used where the column is a list."""
    encoding: Literal["vocabulary", "hash"] = "vocabulary"
    """`vocabulary` keeps values apart and can be read; `hash` needs no learning and may collide."""
    num_buckets: int = 1024
    """Hash buckets, when `encoding` is `hash`."""
    oov_buckets: int = 1
    """Buckets for values outside the vocabulary, when `encoding` is `vocabulary`."""
    min_count: int = 1
    """Occurrences in the training data a value needs to enter the vocabulary."""
    max_values: int = 16
    """Values kept, from the start of the list."""
    kind: Literal["multi_valued"] = "multi_valued"

    def __post_init__(self) -> None:
        _check_name(self)
        _require(self, "separator", len(self.separator) >= 1, "at least one character")
        _require(self, "num_buckets", self.num_buckets >= 1, "at least 1")
        _require(self, "oov_buckets", self.oov_buckets >= 1, "at least 1, so that unknown values can be served")
        _require(self, "min_count", self.min_count >= 1, "at least 1")
        _require(self, "max_values", self.max_values >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class VectorFeature:
    """A vector computed beforehand, such as a text's or an image's embedding: how other modalities come in."""

    name: str
    """Column of the raw table: a list of numbers, or one string of them."""
    length: int
    """Components; a vector of any other length is refused."""
    table: Literal["users"] = "users"
    """Where a query feature comes from; a candidate feature always comes from the items table."""
    normalise: bool = True
    """Whether only the direction counts, as for embeddings that are compared by cosine; otherwise the numbers are used
    as they are, and should be near one."""
    kind: Literal["vector"] = "vector"

    def __post_init__(self) -> None:
        _check_name(self)
        _require(self, "length", self.length >= 1, "at least 1 component")


@dataclass(frozen=True, kw_only=True)
class TimestampFeature:
    """The moment of the request, in seconds since 1970-01-01 UTC, as calendar parts."""

    name: str
    """Column of the raw table; the schema's `timestamp`. 0 in a request means unknown."""
    parts: tuple[TimePart, ...] = ("hour_of_day", "day_of_week")
    """Calendar parts that get an embedding each."""
    utc_offset_hours: float = 0.0
    """Hours added before the calendar parts are taken: the users' time zone, without daylight saving."""
    kind: Literal["timestamp"] = "timestamp"

    def __post_init__(self) -> None:
        _check_name(self)
        _require(self, "parts", len(self.parts) > 0, f"at least one of {', '.join(TIME_PART_SIZES)}")
        _require(self, "parts", len(set(self.parts)) == len(self.parts), "each part once")
        _require(self, "utc_offset_hours", -14 <= self.utc_offset_hours <= 14, "between -14 and 14 hours")


@dataclass(frozen=True, kw_only=True)
class HistoryFeature:
    """The item ids a user interacted with strictly before the example, oldest first."""

    name: str = "history"
    """Key in the signatures; derived from the interactions, so no raw column has this name."""
    length: int = 50
    """Most recent items kept."""
    kind: Literal["history"] = "history"

    def __post_init__(self) -> None:
        _check_name(self)
        _require(self, "length", self.length >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class HistoryEventTypesFeature:
    """What kind of event each item of the history was, such as view or purchase; needs a history and event types."""

    name: str = "history_event_types"
    """Key in the signatures; derived from the interactions, so no raw column has this name."""
    encoding: Literal["vocabulary"] = "vocabulary"
    """Learnt from the training data."""
    oov_buckets: int = 1
    """Buckets for kinds outside the vocabulary."""
    kind: Literal["history_event_types"] = "history_event_types"

    def __post_init__(self) -> None:
        _check_name(self)
        _require(self, "oov_buckets", self.oov_buckets >= 1, "at least 1, so that unknown kinds can be served")


@dataclass(frozen=True, kw_only=True)
class HistoryTimesFeature:
    """When each item of the history was, as the time since the one before it; needs a history."""

    name: str = "history_timestamps"
    """Key in the signatures, seconds since 1970-01-01 UTC, 0 where unknown; derived from the interactions."""
    kind: Literal["history_times"] = "history_times"

    def __post_init__(self) -> None:
        _check_name(self)


# Features of the same events as the history, entry by entry.
HistoryCompanion: TypeAlias = HistoryEventTypesFeature | HistoryTimesFeature
QueryFeature: TypeAlias = (
    IdFeature
    | HistoryFeature
    | HistoryEventTypesFeature
    | HistoryTimesFeature
    | TimestampFeature
    | CategoricalFeature
    | NumericFeature
    | TextFeature
    | MultiValuedFeature
    | VectorFeature
)
CandidateFeature: TypeAlias = (
    IdFeature | CategoricalFeature | NumericFeature | TextFeature | MultiValuedFeature | VectorFeature
)
Feature: TypeAlias = QueryFeature


def raw_type(feature: Feature) -> RawType:
    """Data type of the feature's values in records and signatures."""
    if isinstance(feature, NumericFeature | VectorFeature):
        return "float32"
    return "int64" if isinstance(feature, TimestampFeature | HistoryTimesFeature) else "string"


def is_list(feature: Feature) -> bool:
    """Whether one example holds a list of values (`[batch, length]`) instead of one (`[batch]`)."""
    return isinstance(feature, HistoryFeature | HistoryCompanion | MultiValuedFeature | VectorFeature)


def missing_value_of(dtype: RawType) -> str | int | float:
    """What stands for "not given" in records and requests."""
    missing: Mapping[RawType, str | int | float] = {"string": "", "int64": 0, "float32": math.nan}
    return missing[dtype]
