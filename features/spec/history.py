"""A user's history: the items, and for each of those events its type and time."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from features.spec.base import Feature, RawType, Side, VocabularyOptions


@dataclass(frozen=True, kw_only=True)
class _OfHistory(Feature):
    """A list with one entry for each event of the history, derived from the interactions."""

    sides: ClassVar[frozenset[Side]] = frozenset({"query"})
    is_list: ClassVar[bool] = True

    @property
    def owner(self) -> Literal["history"]:
        """Each event of the history has one value."""
        return "history"


@dataclass(frozen=True, kw_only=True)
class HistoryFeature(_OfHistory):
    """Ids of the items that the user interacted with strictly before the example, oldest first."""

    name: str = "history"
    """Key in the signatures; derived from the interactions, so no raw column has this name."""
    length: int = 50
    """Number of most recent items to keep."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("length", self.length >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class HistoryCompanion(_OfHistory):
    """A feature with one value for each item of the history, such as the event's type; needs a history."""


@dataclass(frozen=True, kw_only=True)
class HistoryEventTypesFeature(HistoryCompanion):
    """The type of each event of the history, such as view or purchase; needs a history and event types."""

    name: str = "history_event_types"
    """Key in the signatures; derived from the interactions, so no raw column has this name."""
    encoding: Literal["vocabulary"] = "vocabulary"
    """Learnt from the training data."""
    oov_buckets: int = 1
    """Buckets for types outside the vocabulary."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("oov_buckets", self.oov_buckets >= 1, "at least 1, so that unknown types can be served")

    @property
    def vocabulary(self) -> VocabularyOptions:
        """Every event type of the training data."""
        return VocabularyOptions(oov_buckets=self.oov_buckets)


@dataclass(frozen=True, kw_only=True)
class HistoryTimesFeature(HistoryCompanion):
    """When each event of the history happened, as the time since the one before it; needs a history."""

    name: str = "history_timestamps"
    """Key in the signatures, seconds since 1970-01-01 UTC, 0 where unknown; derived from the interactions."""

    raw_type: ClassVar[RawType] = "int64"
