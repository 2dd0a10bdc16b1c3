"""What a training reports while it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from features.disk.layout import StageName

Metrics: TypeAlias = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a training is."""

    stage: StageName
    """The stage that is trained."""
    step: int
    """Steps done."""
    total_steps: int
    """Steps of the whole training; it may end earlier."""
    epoch: int
    """Epochs done."""
    loss: float
    """Mean loss per example since the epoch began."""
    metrics: Metrics
    """Metrics of the validation after the last epoch; empty before."""


ProgressCallback: TypeAlias = Callable[[Progress], None]


Report: TypeAlias = Callable[[str], None]
"""Takes one line that a person should read, such as that a file was damaged."""


def unreported(message: str) -> None:
    """Reports nothing."""


def silent(progress: Progress) -> None:
    """A progress callback that reports nothing."""
