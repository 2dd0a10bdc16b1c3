"""The schema: which features describe a query and a candidate, and which columns play the fixed roles."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from features.errors import ConfigError
from features.serialization import unstructure
from features.spec.base import Feature, Side, VocabularyOptions
from features.spec.history import HistoryCompanion, HistoryEventTypesFeature, HistoryFeature, HistoryTimesFeature
from features.spec.ids import IdFeature
from features.spec.kinds import FEATURE_KINDS
from features.spec.tasks import DEFAULT_TASKS, Task
from features.spec.time import TimestampFeature

# Names that no feature may have: keys of the records beside the features (see `features.records.contents`) ...
RESERVED_NAMES = frozenset(
    {
        "in_history",
        "num_context",
        "sampling_probability",
        "train_frequency",
        "event_type",
        "weight",
        "item_events",
    }
    # ... and inputs and outputs of the signatures.
    | {
        "k",
        "item_ids",
        "scores",
        "exclude_item_ids",
        "allow_item_ids",
        "embedding",
        "limit",
        "exclude_seen",
        "diversity",
        "shown_item_ids",
    }
)


# Suffixes of the signatures' inputs that filter or order by a candidate feature, such as `year_min`.
FILTER_SUFFIXES = ("any_of", "none_of", "min", "max", "boosted", "buried")


@dataclass(frozen=True, kw_only=True)
class Schema:
    """Query features, candidate features and the columns with a fixed role. Names of columns are spelt nowhere else.

    Raises:
        ConfigError: A name is used twice or is reserved, a kind stands on the wrong side, or a role has no column.
    """

    query: tuple[Feature, ...]
    """Features of the query: the user, the user's history and the context of the request."""
    candidate: tuple[Feature, ...]
    """Features of the items, from the items table."""
    user_id: str = "user_id"
    """Column of the interactions (and of the users table) that identifies the user."""
    item_id: str = "item_id"
    """Column of the interactions (and of the items table) that identifies the item."""
    timestamp: str = "timestamp"
    """Column of the interactions with the event's time, stored as seconds since 1970-01-01 UTC."""
    item_events: bool = False
    """Whether ranking knows how many positive interactions of all users an item had strictly before the example."""
    task: tuple[Task, ...] = DEFAULT_TASKS
    """What a ranking model predicts; the first task ranks."""

    def __post_init__(self) -> None:
        _check_side("query", self.query)
        _check_side("candidate", self.candidate)
        _check_unique("features.query", self.query)
        _check_unique("features.candidate", self.candidate)
        _check_id_features(self)
        for feature in self.query:
            if isinstance(feature, TimestampFeature) and feature.name != self.timestamp:
                raise ConfigError("features.query.timestamp.name", feature.name, f"{self.timestamp!r}, the time column")
            if isinstance(feature, HistoryFeature) and feature.name in (self.user_id, self.item_id, self.timestamp):
                raise ConfigError("features.query.history.name", feature.name, "a name no column has")
        if sum(isinstance(feature, HistoryFeature) for feature in self.query) > 1:
            raise ConfigError("features.query", "two histories", "at most one feature of kind 'history'")
        _check_companions(self)
        _check_apart(self)
        _check_tasks(self)

    @property
    def history(self) -> HistoryFeature | None:
        """The history; None if the query has none."""
        return next((f for f in self.query if isinstance(f, HistoryFeature)), None)

    @property
    def history_companions(self) -> tuple[HistoryCompanion, ...]:
        """The features with one value for each item of the history."""
        return tuple(f for f in self.query if isinstance(f, HistoryCompanion))

    @property
    def history_event_types(self) -> HistoryEventTypesFeature | None:
        """The types of the history's events; None if the query has none."""
        return next((f for f in self.query if isinstance(f, HistoryEventTypesFeature)), None)

    @property
    def history_times(self) -> HistoryTimesFeature | None:
        """The times of the history's events; None if the query has none."""
        return next((f for f in self.query if isinstance(f, HistoryTimesFeature)), None)

    @property
    def item_id_feature(self) -> IdFeature:
        """The candidate feature that holds the item id."""
        return next(f for f in self.candidate if isinstance(f, IdFeature))

    @property
    def embedded_query(self) -> tuple[Feature, ...]:
        """Query features that the models learn from."""
        return tuple(f for f in self.query if f.is_embedded)

    @property
    def user_features(self) -> tuple[Feature, ...]:
        """Query features of the user, which have one value per record."""
        return tuple(f for f in self.query if f.owner == "user")

    @property
    def context_features(self) -> tuple[Feature, ...]:
        """Query features of the event, the timestamp included, which have one value per event."""
        return tuple(f for f in self.query if f.owner == "event")

    @property
    def vocabularies(self) -> dict[str, VocabularyOptions]:
        """How the vocabulary of each feature that needs one is learnt; a history uses the item id's."""
        options = {feature.name: feature.vocabulary for feature in (*self.query, *self.candidate)}
        return {name: vocabulary for name, vocabulary in options.items() if vocabulary is not None}

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with every change of the schema."""
        return fingerprint(unstructure(self))


def fingerprint(value: object) -> str:
    """Sixteen hexadecimal digits of a JSON-able value's SHA-256, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_side(side: Side, features: Iterable[Feature]) -> None:
    fitting = [kind for kind in FEATURE_KINDS.names if side in FEATURE_KINDS.options(kind).sides]
    for feature in features:
        if side not in feature.sides:
            raise ConfigError(f"features.{side}.{feature.name}.kind", feature.kind, f"one of {', '.join(fitting)}")


def _check_unique(field: str, features: Iterable[Feature]) -> None:
    seen: set[str] = set()
    for feature in features:
        if feature.name in seen:
            raise ConfigError(field, feature.name, "each name once")
        if feature.name in RESERVED_NAMES:
            raise ConfigError(field, feature.name, f"a name other than the reserved {sorted(RESERVED_NAMES)}")
        seen.add(feature.name)


def _check_companions(schema: Schema) -> None:
    kinds: set[str] = set()
    for feature in schema.history_companions:
        field = f"features.query.{feature.name}.kind"
        if schema.history is None:
            raise ConfigError(field, feature.kind, "a feature of kind 'history' beside it")
        if feature.kind in kinds:
            raise ConfigError(field, feature.kind, "each kind at most once")
        kinds.add(feature.kind)


def _check_apart(schema: Schema) -> None:
    """Query features, candidate features and the filters by the latter are inputs of one signature."""
    query, candidate = {f.name for f in schema.query}, {f.name for f in schema.candidate}
    if query & candidate:
        raise ConfigError("features", sorted(query & candidate), "different names for query and candidate features")
    filters = {f"{name}_{suffix}" for name in candidate for suffix in FILTER_SUFFIXES}
    if query & filters:
        raise ConfigError(
            "features.query",
            sorted(query & filters),
            "other names: these are the inputs that filter by candidate features",
        )


def _check_tasks(schema: Schema) -> None:
    """A record has one list of each name: features, the columns with a fixed role and the tasks' labels."""
    if not schema.task:
        raise ConfigError("features.task", [], "at least one task; leave the table out for one binary task `label`")
    names = [task.name for task in schema.task]
    if len(set(names)) < len(names):
        raise ConfigError("features.task", names, "each name once")
    roles = {schema.user_id, schema.item_id, schema.timestamp}
    taken = RESERVED_NAMES | roles | {feature.name for feature in (*schema.query, *schema.candidate)}
    for name in names:
        if name in taken:
            expected = "a name other than those of the features, of the id and time columns and of the reserved keys"
            raise ConfigError("features.task.name", name, expected)


def _check_id_features(schema: Schema) -> None:
    for field, features, role in (
        ("features.query", schema.query, schema.user_id),
        ("features.candidate", schema.candidate, schema.item_id),
    ):
        for feature in features:
            if isinstance(feature, IdFeature) and feature.name != role:
                raise ConfigError(
                    f"{field}.id.name", feature.name, f"{role!r}; use kind 'categorical' for another column"
                )
    if not any(isinstance(f, IdFeature) for f in schema.candidate):
        names = [feature.name for feature in schema.candidate]
        raise ConfigError("features.candidate", names, f"a feature of kind 'id' called {schema.item_id!r}")
    if not schema.embedded_query:
        names = [feature.name for feature in schema.query]
        raise ConfigError("features.query", names, "at least one feature to learn from, for example kind 'history'")
    if not schema.item_id_feature.embedding:
        raise ConfigError(
            f"features.candidate.{schema.item_id}.embedding", False, "true: only a user's id may be false"
        )
