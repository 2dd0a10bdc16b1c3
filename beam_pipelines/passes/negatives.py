"""Samples negatives for ranking, with their sampling probabilities."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pipelines.config import NegativesConfig

# Rejected draws after which a negative is dropped instead of being drawn again.
_ROUNDS = 20


@dataclass(frozen=True)
class ItemDistribution:
    """Sampling distribution over the items with training events."""

    names: pa.StringArray
    """`[items]` ids."""
    probability: npt.NDArray[np.float64]
    """`[items]`, sums to 1."""

    @classmethod
    def of(cls, names: pa.StringArray, events: npt.NDArray[np.int64], config: NegativesConfig) -> "ItemDistribution":
        """The configured distribution.

        Args:
            names: `[items]` ids.
            events: `[items] int64` training events of each item.
            config: kind and exponent.
        """
        weights = events.astype(np.float64) ** (config.alpha if config.kind == "popularity" else 0.0)
        weights[events == 0] = 0.0
        return cls(names, weights / weights.sum())


@dataclass(frozen=True)
class CatalogueNegatives:
    """Sampled negatives; `[m]` each."""

    positive: npt.NDArray[np.int64]
    """Index, among the positives, of the event that each negative belongs to."""
    items: pa.StringArray
    """Item ids."""
    probability: npt.NDArray[np.float32]
    """Probability of drawing the item for the event."""


@dataclass(frozen=True)
class SessionEvents:
    """Logged events of sessions; `[n]` each."""

    session: npt.NDArray[np.int64]
    """Session numbers, ascending."""
    items: pa.DictionaryArray
    """Item ids."""
    strength: npt.NDArray[np.float64]
    """Weight of a positive interaction; 0 for other events."""


def sample_negatives(
    users: npt.NDArray[np.int64],
    own: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    distribution: ItemDistribution,
    *,
    per_positive: int,
    rng: np.random.Generator,
) -> CatalogueNegatives:
    """Draws items that the user has no positive interaction with.

    The probability of an item outside the user's set S is that of drawing until the item is not in S:
    `p(item) / (1 - p(S))`.

    Args:
        users: `[p]` user of each positive event that needs negatives.
        own: users and items of the known interactions; -1 for an item outside the distribution.
        distribution: what to draw from.
        per_positive: draws per positive event.
        rng: random generator.
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
    return CatalogueNegatives(
        positive[found], distribution.names.take(pa.array(item[found])), probability.astype(np.float32)
    )


def sample_in_session(
    events: SessionEvents, positives: npt.NDArray[np.int64], *, per_positive: int, rng: np.random.Generator
) -> CatalogueNegatives:
    """Draws uniformly from the items of the same session with a weaker event than the positive one.

    Args:
        events: logged events of the partition.
        positives: `[p]` indices of the events that need negatives.
        per_positive: draws per positive event; none if the session has no such item.
        rng: random generator.
    """
    codes = events.items.indices.to_numpy()
    order = np.lexsort([events.strength, codes, events.session])
    # One entry per item of a session, with its strongest event.
    last = np.flatnonzero((np.diff(events.session[order], append=-1) != 0) | (np.diff(codes[order], append=-1) != 0))
    entries = order[last]
    entries = entries[np.lexsort([codes[entries], events.strength[entries], events.session[entries]])]
    keys = np.rec.fromarrays([events.session[entries], events.strength[entries]])
    wanted = np.rec.fromarrays([events.session[positives], events.strength[positives]])
    first = np.searchsorted(events.session[entries], events.session[positives])
    num_weaker = np.searchsorted(keys, wanted) - first
    positive = np.repeat(np.flatnonzero(num_weaker > 0), per_positive)
    drawn = first[positive] + (rng.random(len(positive)) * num_weaker[positive]).astype(np.int64)
    names = events.items.take(pa.array(entries[drawn])).cast(pa.string())
    return CatalogueNegatives(positive, names, (1.0 / num_weaker[positive]).astype(np.float32))


def _contains(ordered: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    if not len(ordered):
        return np.zeros(len(values), bool)
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.asarray(ordered[place] == values)
