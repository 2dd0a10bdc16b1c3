"""Sampled negatives for ranking, with the probability they were sampled with."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from beam_pipelines.config import NegativesConfig

# Draws of an item that the user has; after these the negative is left out rather than searched for ever.
_ROUNDS = 20


@dataclass(frozen=True)
class ItemDistribution:
    """What negatives are drawn from: the items with training events."""

    probability: npt.NDArray[np.float64]
    """`[items]`, sums to 1."""

    @classmethod
    def of(cls, events: npt.NDArray[np.int64], config: NegativesConfig) -> "ItemDistribution":
        """The distribution that the configuration names.

        Args:
            events: `[items] int64` training events of each item.
            config: kind and exponent.
        """
        weights = events.astype(np.float64) ** (config.alpha if config.kind == "popularity" else 0.0)
        weights[events == 0] = 0.0
        return cls(weights / weights.sum())


@dataclass(frozen=True)
class Negatives:
    """Sampled negatives; `[m]` each."""

    positive: npt.NDArray[np.int64]
    """Position, among the positives, of the event each belongs to."""
    item: npt.NDArray[np.int64]
    """Position of the item in the distribution."""
    probability: npt.NDArray[np.float32]
    """Of drawing this item for this user."""


def sample_negatives(
    users: npt.NDArray[np.int64],
    own: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    distribution: ItemDistribution,
    *,
    per_positive: int,
    rng: np.random.Generator,
) -> Negatives:
    """Draws items that a user has no positive interaction with.

    The probability of an item outside the user's set S is that of drawing until the item is not in S:
    `p(item) / (1 - p(S))`.

    Args:
        users: `[p]` user of each positive event that needs negatives.
        own: users and items (-1 for an item outside the distribution) of the interactions that count as known.
        distribution: what to draw from.
        per_positive: draws for each positive event.
        rng: source of randomness.
    """
    num_items = len(distribution.probability)
    known = own[1] >= 0
    pairs = np.unique(own[0][known] * num_items + own[1][known])
    mass = np.bincount(pairs // num_items, distribution.probability[pairs % num_items], int(users.max(initial=-1)) + 1)
    positive = np.repeat(np.arange(len(users)), per_positive)
    owner = users[positive]
    cumulative = np.cumsum(distribution.probability)
    item = np.full(len(positive), -1, np.int64)
    open_draws = np.arange(len(positive))
    for _ in range(_ROUNDS):
        drawn = np.searchsorted(cumulative, rng.random(len(open_draws)) * cumulative[-1], side="right")
        refused = _contains(pairs, owner[open_draws] * num_items + drawn)
        item[open_draws[~refused]] = drawn[~refused]
        open_draws = open_draws[refused]
        if not len(open_draws):
            break
    found = item >= 0
    probability = distribution.probability[item[found]] / (1.0 - mass[owner[found]])
    return Negatives(positive[found], item[found], probability.astype(np.float32))


def _contains(ordered: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    if not len(ordered):
        return np.zeros(len(values), bool)
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.asarray(ordered[place] == values)
