"""How good ranked lists are: one value a query, so that means, intervals, slices and tests come from the same numbers.

`recall@k` divides the targets found by the number of all targets. Some libraries divide by min(k, number of targets),
which reads higher for queries with more than k targets; that is not what is computed here. Targets that are not in the
catalogue (`UNKNOWN`) count as targets that were not found. With binary relevance, rank r counting from 1, and hit_r
whether the item at rank r is a target:

    recall@k    = sum_r hit_r / targets
    hit_rate@k  = whether any hit_r
    precision@k = sum_r hit_r / k
    ndcg@k      = sum_r hit_r / log2(r + 1)  divided by the same sum for the ideal list
                  (Järvelin and Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques", ACM TOIS 20(4), 2002)
    mrr@k       = 1 / rank of the first hit, 0 without one
    map@k       = sum_r hit_r * precision@r / targets
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trainer.metrics.protocol import UNKNOWN, Bool, Int, Ragged

Values = npt.NDArray[np.float64]


def query_metrics(ranked: Int, targets: Ragged, cutoffs: Sequence[int]) -> dict[str, Values]:
    """Computes each metric at each cut-off.

    Args:
        ranked: `[queries, k] int64`: distinct item rows, best first; `UNKNOWN` where a list is short.
        targets: the item rows to be found, at least one a query.
        cutoffs: lengths of the list to judge, each at most k.

    Returns:
        `[queries] float64` under names such as `recall@10`.

    Raises:
        ValueError: if the lists are shorter than a cut-off.
    """
    hits = find_hits(ranked, targets)
    metrics: dict[str, Values] = {}
    for k in cutoffs:
        _require_cutoff(ranked, k)
        for name, values in _metrics_at(hits[:, :k], targets.lengths).items():
            metrics[f"{name}@{k}"] = values
    return metrics


def find_hits(ranked: Int, targets: Ragged) -> Bool:
    """`[queries, k] bool`: which of the ranked items are targets of their query."""
    stride = 1 + max(int(ranked.max(initial=0)), int(targets.values.max(initial=0)))
    known = targets.values != UNKNOWN
    target_keys = targets.row_of_value[known] * stride + targets.values[known]
    ranked_keys = np.arange(len(ranked))[:, None] * stride + ranked
    hits: Bool = np.isin(ranked_keys, target_keys) & (ranked != UNKNOWN)
    return hits


def catalogue_metrics(ranked: Int, popularity: Int, k: int) -> dict[str, float]:
    """What the lists of all queries show of the catalogue.

    `coverage` is the share of the catalogue that appears in any list. `gini` is the Gini coefficient of how often each
    item appears: 0 if all alike, towards 1 if few items take all places. `novelty` is the mean over places of
    -log2(share of train events that were of the item), in bits, with items of no event counted as of one: the
    "expected free discovery" of Vargas and Castells, "Rank and Relevance in Novelty and Diversity Metrics for
    Recommender Systems", RecSys 2011, without their rank discount. `mean_popularity` is the mean over places of the
    item's train events.

    Args:
        ranked: `[queries, >= k] int64`: item rows, best first; `UNKNOWN` where a list is short.
        popularity: `[num_items] int64`: train events of each item.
        k: length of the list to judge.

    Raises:
        ValueError: if the lists are shorter than k.
    """
    _require_cutoff(ranked, k)
    shown = ranked[:, :k]
    shown = shown[shown != UNKNOWN]
    appearances = np.bincount(shown, minlength=len(popularity))
    surprisal = -np.log2(np.maximum(popularity, 1) / max(int(popularity.sum()), 1))
    return {
        f"coverage@{k}": float(np.count_nonzero(appearances) / len(popularity)),
        f"gini@{k}": gini(appearances),
        f"novelty@{k}": float(np.mean(surprisal[shown])) if len(shown) else 0.0,
        f"mean_popularity@{k}": float(np.mean(popularity[shown])) if len(shown) else 0.0,
    }


def gini(counts: Int) -> float:
    """The Gini coefficient of `counts` (`[n] int64`, not negative): 0 if all are equal, (n - 1) / n if one has all."""
    total = counts.sum()
    if total == 0:
        return 0.0
    ascending = np.sort(counts)
    ranks = np.arange(1, len(counts) + 1)
    return float(np.sum((2 * ranks - len(counts) - 1) * ascending) / (len(counts) * total))


def ndcg_of_hits(hits: Bool, num_targets: Int) -> Values:
    """NDCG of lists whose hits are known.

    Args:
        hits: `[queries, k] bool`, in the order of the list.
        num_targets: `[queries] int64`, at least 1.

    Returns:
        `[queries] float64`: NDCG@k.
    """
    discounts = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(discounts)[np.minimum(num_targets, hits.shape[1]) - 1]
    ndcg: Values = hits @ discounts / ideal
    return ndcg


def _metrics_at(hits: Bool, num_targets: Int) -> dict[str, Values]:
    k = hits.shape[1]
    ranks = np.arange(1, k + 1)
    discounts = 1.0 / np.log2(ranks + 1)
    ideal = np.cumsum(discounts)[np.minimum(num_targets, k) - 1]
    found = hits.sum(axis=1)
    first = np.where(found > 0, 1.0 / (hits.argmax(axis=1) + 1), 0.0)
    return {
        "recall": found / num_targets,
        "hit_rate": (found > 0).astype(np.float64),
        "precision": found / k,
        "ndcg": hits @ discounts / ideal,
        "mrr": first,
        "map": np.sum(hits * np.cumsum(hits, axis=1) / ranks, axis=1) / num_targets,
    }


def _require_cutoff(ranked: Int, k: int) -> None:
    if not 1 <= k <= ranked.shape[1]:
        raise ValueError(f"cut-off {k}: the ranked lists hold {ranked.shape[1]} items")
