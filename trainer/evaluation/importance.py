"""Feature importance of the list ranker: the NDCG that is lost when the values of a group of features are permuted.

Permutation importance: Breiman, "Random Forests", 2001, section 10; Fisher et al., https://arxiv.org/abs/1801.01489.
The candidates of a list exchange their values of all features of a group, so that each list keeps its values and only
loses which candidate has which. The ranker is not trained again, as `benchmarks/cascade_ablation.py` does it: there,
other features take the place of those that are left out.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from trainer.cascade.lists import CandidateLists
from trainer.cascade.model import ListRanker
from trainer.cascade.validation import ListValidation
from trainer.data.events import Float64, Int64
from trainer.metrics.intervals import paired_test
from trainer.metrics.protocol import Bool

MOST_LISTS = 400
_REPEATS = 2


def permutation_importance(
    model: ListRanker, lists: CandidateLists, groups: Sequence[str], *, cutoff: int, seed: int
) -> list[dict[str, Any]]:
    """Permutes each group of features.

    Args:
        model: The list ranker.
        lists: To judge by; few, since the model runs twice over them for each group.
        groups: `F` names: the group of each feature.
        cutoff: Places of a list that NDCG looks at.
        seed: Of the permutations.

    Returns:
        One entry a group, the most important first: `group`; `features`, how many it has; and `loss`, the mean NDCG
        that is lost, with its bootstrap interval over users.
    """
    validation = ListValidation(lists, cutoff=cutoff)
    whole, rng = validation.ndcg_of(model), np.random.default_rng(seed)
    users = np.unique(lists.records, return_inverse=True)[1]
    found = []
    for group in dict.fromkeys(groups):
        is_permuted = np.array([name == group for name in groups])
        without = np.mean(
            [ListValidation(permuted(lists, is_permuted, rng), cutoff=cutoff).ndcg_of(model) for _ in range(_REPEATS)],
            axis=0,
        )
        loss = asdict(paired_test(whole, without, users).difference)
        found.append({"group": group, "features": int(is_permuted.sum()), "loss": loss})
    return sorted(found, key=lambda row: -row["loss"]["value"])


def permuted(lists: CandidateLists, is_permuted: Bool, rng: np.random.Generator) -> CandidateLists:
    """The lists, whose candidates have exchanged the values of some features, `[F] bool`; padding keeps its place."""
    order = _orders(lists, rng)
    features = lists.features.copy()
    features[..., is_permuted] = np.take_along_axis(lists.features[..., is_permuted], order[..., None], axis=1)
    return replace(lists, features=features)


def _orders(lists: CandidateLists, rng: np.random.Generator) -> Int64:
    """`[lists, C]`: a permutation of the candidates of each list, which fill its first places."""
    keys: Float64 = np.where(lists.rows >= 0, rng.random(lists.rows.shape), np.inf)
    order: Int64 = np.argsort(keys, axis=1, kind="stable")
    return order
