"""Reads why `recommender` gave its items their scores, the answer of its signature `explain`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.client.messages import Recommendation, read_outputs


@dataclass(frozen=True)
class Explanation:
    """Why an item has its score, beside an average candidate of the same query.

    The log of the score is `baseline` plus the sum of `features`, but for a small error of integration. So e to the
    power of a contribution is the factor by which it changes the score.
    """

    recommendation: Recommendation
    """The item."""
    baseline: float
    """Log of the score of an average candidate."""
    features: Mapping[str, float]
    """Contribution of each feature. They are 0 for an item that has its place for being new alone."""
    groups: Mapping[str, str]
    """The group of each feature."""
    history: Mapping[str, float]
    """Contribution of each item of the history, a part of that of the features; empty where the model does not tell."""

    @property
    def by_group(self) -> dict[str, float]:
        """Contribution of each group of features."""
        total = dict.fromkeys(self.groups.values(), 0.0)
        for name, contribution in self.features.items():
            total[self.groups[name]] += contribution
        return total


def read_explanations(response: Any, k: int) -> list[list[Explanation]]:
    """One list per query, best item first, of at most `k` items; padding is removed."""
    outputs = read_outputs(response)
    return [
        _of_query({name: values[number] for name, values in outputs.items()}, k) for number in range(_batch(outputs))
    ]


def _batch(outputs: Mapping[str, NDArray[Any]]) -> int:
    return len(outputs["item_ids"])


def _of_query(outputs: Mapping[str, NDArray[Any]], k: int) -> list[Explanation]:
    names, groups, history_ids = (
        [value.decode() for value in outputs[name]] for name in ("feature_names", "feature_groups", "history_item_ids")
    )
    explained = []
    for place, (item, score) in enumerate(zip(outputs["item_ids"], outputs["scores"], strict=True)):
        if not item or score == -np.inf:
            continue
        features = zip(names, outputs["feature_contributions"][place].tolist(), strict=True)
        explained.append(
            Explanation(
                recommendation=Recommendation(item.decode(), float(score), bool(outputs["is_explored"][place])),
                baseline=float(outputs["baseline"]),
                features=dict(features),
                groups=dict(zip(names, groups, strict=True)),
                history=_by_item(history_ids, outputs["history_contributions"][place].tolist()),
            )
        )
    return explained[:k]


def _by_item(item_ids: list[str], contributions: list[float]) -> dict[str, float]:
    """Sums by item, in the order of the history; without padding."""
    total: dict[str, float] = {}
    for item_id, contribution in zip(item_ids, contributions, strict=True):
        if item_id:
            total[item_id] = total.get(item_id, 0.0) + contribution
    return total
