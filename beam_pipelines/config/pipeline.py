"""The `[pipeline]` table of the configuration.

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

from beam_pipelines.config.checks import require
from beam_pipelines.config.source import ROW_ORDER, TableSource
from features.errors import ConfigError

DerivedKind: TypeAlias = Literal["user_events", "seconds_since_previous", "session_position"]

RUNNERS = ("local", "portable", "flink", "spark", "dataflow")


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How events are divided into training, validation and test."""

    kind: Literal["global_time", "leave_last_out", "per_user_fraction"] = "global_time"
    """`global_time`: one moment for all users, as in production. `leave_last_out`: each user's last event is the test,
    the one before it the validation. `per_user_fraction`: the last share of each user's events; other users' training
    events may then be later than a user's test events."""
    validation: float = 0.1
    """Share of the events for validation; ignored by `leave_last_out`."""
    test: float = 0.1
    """Share of the events, the latest ones, for the test; ignored by `leave_last_out`."""
    fold: int = 0
    """Rolling origin: fold `n` drops the `n` latest test shares, of all events or with the other kinds of each user's,
    and splits the rest into parts as large as those of fold 0. `recstack evaluate --folds` prepares each fold in a
    directory of its own."""

    def __post_init__(self) -> None:
        require("pipeline.split", self, "fold", self.fold >= 0, "at least 0")
        used = self.validation + self.test * (self.fold + 1)
        has_shares = self.fold > 0 and self.kind != "leave_last_out"
        require("pipeline.split", self, "fold", used < 1 or not has_shares, "events left for training")
        require("pipeline.split", self, "validation", 0 <= self.validation < 1, "a share from 0 to below 1")
        require("pipeline.split", self, "test", 0 <= self.test < 1, "a share from 0 to below 1")
        require("pipeline.split", self, "test", self.validation + self.test < 1, "less than 1 - validation")


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """How an event becomes labels, a weight and an entry of the history; what each label means, its task says.

    Without `rating_column` and `event_weights` every event is a positive interaction with label 1 and weight 1.
    """

    rating_column: str = ""
    """Column of the interactions with an explicit rating; empty: there is none."""
    ranking_label: Literal["threshold", "rating"] = "threshold"
    """Label of a binary task that names neither threshold nor event types: 1 where the rating is at least `threshold`,
    else 0; or the rating itself, from 0 to 1."""
    threshold: float = 4.0
    """Smallest rating with label 1, in the rating's unit, of binary tasks that have no threshold of their own."""
    min_positive_rating: float | None = None
    """Smallest rating that counts as a positive interaction (retrieval, histories); none: every rated event does."""
    event_type_column: str = ""
    """Column of the interactions with the kind of event, such as view or purchase; empty: there is none."""
    event_weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of an example by event type. Weight 0 is an event that is not a positive interaction (an impression
    without a click): label 0, weight 1, not in histories. Events of a type not listed here are rejected."""

    def __post_init__(self) -> None:
        path = "pipeline.label"
        has_types = bool(self.event_type_column)
        require(path, self, "event_weights", has_types == bool(self.event_weights), "given with event_type_column")
        weights_ok = all(math.isfinite(w) and w >= 0 for w in self.event_weights.values())
        require(path, self, "event_weights", weights_ok, "finite weights of at least 0")
        require(path, self, "threshold", math.isfinite(self.threshold), "a finite number")
        rated = bool(self.rating_column)
        require(path, self, "min_positive_rating", rated or self.min_positive_rating is None, "none: no rating_column")
        require(path, self, "ranking_label", rated or self.ranking_label == "threshold", "threshold: no rating_column")

    @property
    def has_negatives(self) -> bool:
        """Whether the log itself holds events that are not to be recommended."""
        return bool(self.rating_column) or any(weight == 0 for weight in self.event_weights.values())


@dataclass(frozen=True, kw_only=True)
class NegativesConfig:
    """Sampled negatives of the ranking examples, each with its sampling probability."""

    kind: Literal["auto", "none", "uniform", "popularity", "in_session"] = "auto"
    """`auto`: `uniform` if the log has no negatives of its own, else `none`. `uniform`: over the items with training
    events. `popularity`: proportional to the training events to the power `alpha`. `in_session`: over items of the same
    session with a weaker event, such as viewed but not bought; needs `event_weights`."""
    per_positive: int = 4
    """Negatives per positive event."""
    alpha: float = 0.75
    """Exponent of `popularity`; 0 is the same as `uniform`."""

    def __post_init__(self) -> None:
        require("pipeline.negatives", self, "per_positive", self.per_positive >= 1, "at least 1")
        require("pipeline.negatives", self, "alpha", 0 <= self.alpha <= 2, "a number from 0 to 2")


@dataclass(frozen=True, kw_only=True)
class CleaningConfig:
    """Which events are dropped. Later events never decide about earlier ones, unless `core_of` is `all`."""

    duplicate_seconds: int = 0
    """Drop an event that follows another one of the same user, item and event type within this many seconds; 0: drop
    only rows that are equal in every column."""
    max_events_per_day: int = 0
    """A user with more events on one day (UTC) is treated as a bot: the surplus and all later events are dropped; 0: no
    limit."""
    min_user_events: int = 0
    """Fewest events a user must have; 0: no minimum."""
    min_item_events: int = 0
    """Fewest events an item must have. Users and items are dropped in turn until all that remain reach their minimum
    (k-core)."""
    core_of: Literal["training", "all"] = "training"
    """Which events the minimums count and drop. `all`, as in many published datasets, looks into the future."""

    def __post_init__(self) -> None:
        for name in ("duplicate_seconds", "max_events_per_day", "min_user_events", "min_item_events"):
            require("pipeline.cleaning", self, name, getattr(self, name) >= 0, "at least 0")

    @property
    def has_core(self) -> bool:
        """Whether there is a minimum."""
        return self.min_user_events > 1 or self.min_item_events > 1


@dataclass(frozen=True, kw_only=True)
class DriftConfig:
    """Limits on how far a dataset may differ from the one it replaces.

    The differences are always measured and recorded. If one exceeds its limit, the run fails and the former dataset
    stays.
    """

    max_stability_index: float | None = None
    """Population stability index of each feature, the label and the history lengths; 0.25 is customary; none: no
    limit."""
    max_new_users: float | None = None
    """Share of users that the former dataset does not have."""
    max_vanished_users: float | None = None
    """Share of the former dataset's users that are gone."""
    max_new_items: float | None = None
    """Share of items that the former catalogue does not have."""
    max_vanished_items: float | None = None
    """Share of the former catalogue's items that are gone."""
    max_split_change: float | None = None
    """Relative change of the number of events in a split; 0.5 allows 50 % more or fewer."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            limit = getattr(self, name)
            require("pipeline.drift", self, name, limit is None or limit >= 0, "at least 0")


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """Raw tables to a dataset directory."""

    interactions: TableSource = TableSource(
        format="movielens", columns={"user_id": "userId", "item_id": "movieId", "timestamp": "timestamp"}
    )
    """Who did something with what, and when."""
    items: TableSource = TableSource()
    """Features of the items. An item of the interactions without a row here has missing features."""
    users: TableSource = TableSource()
    """Features of the users."""
    label: LabelConfig = LabelConfig()
    """Events to labels."""
    cleaning: CleaningConfig = CleaningConfig()
    """Which events are dropped."""
    session_gap_seconds: int = 1800
    """A pause longer than this begins a new session of the user."""
    derived: Mapping[str, DerivedKind] = field(default_factory=dict)
    """Numeric query features computed from what the user did strictly before the event: `user_events` (number of
    positive interactions), `seconds_since_previous` (missing for the first event) and `session_position` (earlier
    events of the session)."""
    split: SplitConfig = SplitConfig()
    """Training, validation, test."""
    negatives: NegativesConfig = NegativesConfig()
    """Sampled negatives for ranking."""
    report: bool = True
    """Whether to write `report.html`, the data report with plots, into the dataset."""
    drift: DriftConfig = DriftConfig()
    """Limits on how far the dataset may differ from the one it replaces."""
    max_reject_ratio: float = 0.05
    """Share of a table's rows that may be rejected before the run fails."""
    num_shards: int = 0
    """Files per split; 0: one per half million events, at least 4."""
    max_events_per_record: int = 4096
    """Largest number of targets, and of context events, in one record; a user with more gets several records."""
    compression_level: int = 1
    """gzip level of the shards, 1 (fast) to 9 (small). Levels up to 3 use ISA-L, higher ones the slower zlib."""
    num_workers: int = 0
    """Partitions processed in parallel on this machine, about 200 MB each; 0: one per core."""
    runner: str = "local"
    """Beam runner of the passes: `local` (this machine), `portable` (any Beam job service), `flink`, `spark` or
    `dataflow`. On a cluster, all workers must see the dataset's folder and the tables."""
    runner_options: tuple[str, ...] = ()
    """Beam's options for the runner, as on a command line, such as `--job_endpoint=localhost:8099`."""

    def __post_init__(self) -> None:
        for name in ("interactions", "items", "users"):
            getattr(self, name).check(f"pipeline.{name}")
        require("pipeline", self, "interactions", self.interactions.is_given, "a table with a path")
        by_rows = self.interactions.timestamp_format == ROW_ORDER
        timeless = self.split.kind != "global_time" or not by_rows
        require("pipeline.split", self.split, "kind", timeless, "a split by user: the rows' order tells no time")
        in_session = self.negatives.kind == "in_session"
        if in_session and not self.label.event_weights:
            raise ConfigError("pipeline.negatives.kind", "in_session", "another kind, or pipeline.label.event_weights")
        require("pipeline", self, "session_gap_seconds", self.session_gap_seconds >= 1, "at least 1 second")
        require("pipeline", self, "max_reject_ratio", 0 <= self.max_reject_ratio <= 1, "a share from 0 to 1")
        require("pipeline", self, "num_shards", 0 <= self.num_shards <= 100_000, "0 to 100000")
        require("pipeline", self, "max_events_per_record", self.max_events_per_record >= 2, "at least 2")
        require("pipeline", self, "num_workers", 0 <= self.num_workers <= 1024, "0 to 1024")
        self._check_runner()
        require("pipeline", self, "compression_level", 1 <= self.compression_level <= 9, "1 to 9")

    def _check_runner(self) -> None:
        if "dask" in self.runner.lower():
            raise ConfigError(
                "pipeline.runner",
                self.runner,
                f"one of {', '.join(RUNNERS)}; Beam's DaskRunner drops and mixes up outputs without an error, so "
                "a dataset that it makes may be wrong",
            )
        require("pipeline", self, "runner", self.runner in RUNNERS, f"one of {', '.join(RUNNERS)}")
        local = self.runner == "local"
        require("pipeline", self, "runner_options", not (local and self.runner_options), "none for the local runner")

    @property
    def negatives_kind(self) -> Literal["none", "uniform", "popularity", "in_session"]:
        """The kind that `auto` stands for."""
        if self.negatives.kind == "auto":
            return "none" if self.label.has_negatives else "uniform"
        return self.negatives.kind
