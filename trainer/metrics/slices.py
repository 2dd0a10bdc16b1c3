"""Parts of an evaluation that an average hides: new users, short histories, the long tail, new items."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from trainer.config.evaluation import COLD_ITEMS
from trainer.metrics.protocol import UNKNOWN, Bool, EvaluationSet, Int

HISTORY_EDGES = (1, 5, 20, 50)
"""The shortest history of each slice after the first, in items."""


@dataclass(frozen=True, kw_only=True)
class Slices:
    """Named parts of an evaluation."""

    queries: Mapping[str, Bool]
    """`[queries] bool` a name: the queries of the slice."""
    items: Mapping[str, Bool]
    """`[num_items] bool` a name: the targets of the slice. Other targets of a query are neither found nor missed."""


def standard_slices(queries: EvaluationSet, popularity: Int) -> Slices:
    """The slices of every report: unknown users, history length, item popularity, cold items."""
    return Slices(queries=query_slices(queries), items=item_slices(popularity))


def query_slices(queries: EvaluationSet) -> dict[str, Bool]:
    """Slices by what is known of the user: the history's length, and users that train does not hold."""
    lengths = queries.history.lengths
    slices = {"user: unknown": queries.user_rows == UNKNOWN}
    for low, end in zip((0, *HISTORY_EDGES), (*HISTORY_EDGES, None), strict=True):
        if end is None:
            slices[f"history: {low} or more"] = lengths >= low
        else:
            name = f"history: {low}" if end == low + 1 else f"history: {low}-{end - 1}"
            slices[name] = (lengths >= low) & (lengths < end)
    return slices


def item_slices(popularity: Int) -> dict[str, Bool]:
    """Slices by popularity: head, middle and tail take a third of the train events each; cold items have none.

    Args:
        popularity: `[num_items] int64`: train events of each item.
    """
    order = np.argsort(-popularity, kind="stable")
    before = np.empty(len(popularity), dtype=np.int64)
    before[order] = np.cumsum(popularity[order]) - popularity[order]
    third = np.minimum(3 * before // max(int(popularity.sum()), 1), 2)
    warm = popularity > 0
    slices = {f"item: {name}": warm & (third == part) for part, name in enumerate(("head", "middle", "tail"))}
    return {**slices, COLD_ITEMS: ~warm}


def slices_by_value(feature: str, values: Sequence[Sequence[str]], limit: int = 20) -> dict[str, Bool]:
    """Slices by the values of any feature of a query or an item, the most frequent `limit` of them.

    Args:
        feature: the name to show.
        values: the feature's values, none, one or several, of each query (for query slices) or item (for item slices).
        limit: the number of slices at most.
    """
    counts = Counter(value for row in values for value in set(row))
    chosen = sorted(counts, key=lambda value: (-counts[value], value))[:limit]
    return {f"{feature}: {value}": np.array([value in row for row in values], dtype=bool) for value in chosen}


def quarters(values: npt.NDArray[np.floating]) -> list[list[str]]:
    """The quarter of the numbers that each number lies in, as a text such as `10 to 25`; none for NaN.

    Args:
        values: `[n]`.
    """
    present = values[~np.isnan(values)]
    edges = np.unique(np.quantile(present, (0.0, 0.25, 0.5, 0.75, 1.0))) if len(present) else np.zeros(1)
    names = [f"{low:g} to {high:g}" for low, high in pairwise(edges)] or [f"{edges[0]:g}"]
    places = np.searchsorted(edges[1:-1], values, side="right").clip(max=len(names) - 1)
    return [[] if np.isnan(value) else [names[place]] for value, place in zip(values, places, strict=True)]
