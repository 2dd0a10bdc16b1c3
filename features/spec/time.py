"""The moment of a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, TypeAlias

from features.spec.base import Feature, RawColumn, RawType, Side

TimePart: TypeAlias = Literal["hour_of_day", "day_of_week", "month", "year"]

# Number of distinct values of each part; years are counted from 1970 and clipped, so that no date is an error.
TIME_PART_SIZES: Mapping[TimePart, int] = MappingProxyType(
    {"hour_of_day": 24, "day_of_week": 7, "month": 12, "year": 130}
)


@dataclass(frozen=True, kw_only=True)
class TimestampFeature(Feature):
    """The moment of the request, in seconds since 1970-01-01 UTC, as calendar parts.

    Its name is the schema's `timestamp`. 0 in a request means unknown.
    """

    parts: tuple[TimePart, ...] = ("hour_of_day", "day_of_week")
    """Calendar parts, each with an embedding of its own. Without any, no model learns from the calendar; requests name
    their time for the list ranker alone, which counts days back from it."""
    utc_offset_hours: float = 0.0
    """Offset of the users' time zone from UTC, in hours, without daylight saving; added before the parts are taken."""

    sides: ClassVar[frozenset[Side]] = frozenset({"query"})
    raw_type: ClassVar[RawType] = "int64"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("parts", len(set(self.parts)) == len(self.parts), "each part once")
        if not self.parts:
            self._require("utc_offset_hours", self.utc_offset_hours == 0, "0 where `parts` is empty: nothing reads it")
        self._require("utc_offset_hours", -14 <= self.utc_offset_hours <= 14, "between -14 and 14 hours")

    @property
    def is_embedded(self) -> bool:
        """Where there are parts to learn from."""
        return len(self.parts) > 0

    @property
    def column(self) -> RawColumn:
        """A time in the table's format."""
        return RawColumn(kind="time")
