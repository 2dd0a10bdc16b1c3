"""Which version to load or unload next: TensorFlow Serving's AvailabilityPreservingPolicy.

A new version is loaded before an old one goes, so that a model that is served stays served.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal


class Phase(Enum):
    """Where the server is with a version."""

    NEW = auto()
    LOADING = auto()
    READY = auto()
    UNLOADING = auto()
    FAILED = auto()


@dataclass(frozen=True)
class Snapshot:
    """One version as the policy sees it."""

    number: int
    phase: Phase
    aspired: bool


def next_action(versions: Collection[Snapshot]) -> tuple[Literal["load", "unload"], int] | None:
    """The one thing to do now for a model, or None.

    An un-aspired version goes when nothing is aspired, when an aspired one is ready, or when two or more un-aspired
    ones are ready; the lowest goes first. Otherwise the highest new version is loaded.
    """
    old = [each.number for each in versions if not each.aspired and each.phase is Phase.READY]
    aspired = [each for each in versions if each.aspired]
    may_unload = not aspired or any(each.phase is Phase.READY for each in aspired) or len(old) > 1
    if old and may_unload:
        return "unload", min(old)
    new = [each.number for each in aspired if each.phase is Phase.NEW]
    return ("load", max(new)) if new else None
