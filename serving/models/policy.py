"""Which version to load or unload next: TensorFlow Serving's AvailabilityPreservingPolicy.

A new version is loaded before an old one is unloaded, so that the model stays available.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal


class Phase(Enum):
    """What the server has done with a version."""

    NEW = auto()
    LOADING = auto()
    READY = auto()
    UNLOADING = auto()
    FAILED = auto()


@dataclass(frozen=True)
class Snapshot:
    """A version as the policy sees it."""

    number: int
    phase: Phase
    aspired: bool


def next_action(versions: Collection[Snapshot]) -> tuple[Literal["load", "unload"], int] | None:
    """The next action for a model, or None.

    A version that is no longer aspired is unloaded, the lowest first, if no version is aspired, if an aspired one is
    ready, or if two or more versions like it are ready. Otherwise the highest new version is loaded.
    """
    old = [each.number for each in versions if not each.aspired and each.phase is Phase.READY]
    aspired = [each for each in versions if each.aspired]
    may_unload = not aspired or any(each.phase is Phase.READY for each in aspired) or len(old) > 1
    if old and may_unload:
        return "unload", min(old)
    new = [each.number for each in aspired if each.phase is Phase.NEW]
    return ("load", max(new)) if new else None
