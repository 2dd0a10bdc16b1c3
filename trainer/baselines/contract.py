"""What a baseline is: parameters that fit train interactions into something that scores every item."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from features.errors import ConfigError
from trainer.metrics.protocol import Bool, EvaluationSet, Float, Int, Interactions
from trainer.metrics.top_k import Scorer

Grid = Mapping[str, tuple[int | float, ...]]
"""The values of each parameter that tuning tries, the parameter that matters most first."""


@dataclass(frozen=True, kw_only=True)
class Baseline(ABC):
    """The parameters of a baseline; immutable, so that a variant is `dataclasses.replace(baseline, **parameters)`.

    What `fit` returns needs no access to train: it scores queries from their histories (and user rows), so that a
    query may know more than train did.
    """

    grid: ClassVar[Grid] = {}
    """What `tuning.tune` tries on validation."""

    @abstractmethod
    def fit(self, interactions: Interactions) -> Scorer:
        """Fits the train interactions; the same interactions and seed give the same scorer."""


def fill_with_popularity(scores: Float, silent: Bool, popularity: Int) -> Float:
    """Orders what a baseline has no opinion about by popularity, below everything it does recommend.

    Args:
        scores: `[queries, num_items] float32`; changed in place.
        silent: `bool`, broadcastable to `scores`: where the baseline has no opinion. Opinions elsewhere in the same row
            must not be negative.
        popularity: `[num_items] int64`: train events.

    Returns:
        `scores`, with values in [-1, 0) where silent.
    """
    share = popularity / (1.0 + popularity.max(initial=0))
    np.copyto(scores, (share - 1.0).astype(np.float32), where=silent)
    return scores


def without_history(queries: EvaluationSet) -> Bool:
    """`[queries, 1] bool`: the queries that know no item."""
    silent: Bool = queries.history.lengths[:, None] == 0
    return silent


def require_decay(field: str, decay: float) -> None:
    """Raises ConfigError unless `decay` is a weight in (0, 1]."""
    if not 0.0 < decay <= 1.0:
        raise ConfigError(field, decay, "a weight above 0 and at most 1, where 1 weighs all of the history alike")


def require_count(field: str, count: int) -> None:
    """Raises ConfigError unless `count` is 1 or more."""
    if count < 1:
        raise ConfigError(field, count, "a whole number of 1 or more")


def weights_by_age(interactions: Interactions, half_life: float) -> npt.NDArray[np.float64]:
    """`[interactions]`: 2 ** -(age / half-life).

    Args:
        interactions: Of the training; ages count from the last one.
        half_life: Share of the time that they span.
    """
    ages = interactions.timestamps.max(initial=0) - interactions.timestamps
    weights: npt.NDArray[np.float64] = np.exp2(-ages / max(half_life * float(ages.max(initial=0)), 1.0))
    return weights


def require_positive(field: str, value: float) -> None:
    """Raises ConfigError unless `value` is above 0."""
    if not value > 0.0:
        raise ConfigError(field, value, "a number above 0")
