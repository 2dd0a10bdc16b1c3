"""The list ranker's scores as a few rules that people can read: a shallow tree, and how faithful it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import r2_score
from sklearn.tree import DecisionTreeRegressor, export_text

from trainer.cascade.lists import CandidateLists
from trainer.cascade.model import ListRanker
from trainer.cascade.validation import logits_of
from trainer.data.events import Float64
from trainer.metrics.protocol import Bool

_DEPTH = 4
_LEAST_SHARE = 0.002
_PLACES_OF_VALUES = 2


def readable_rules(
    model: ListRanker, lists: CandidateLists, names: Sequence[str], *, seed: int
) -> dict[str, Any] | None:
    """Fits a regression tree of depth four to the ranker's scores.

    Scores are logits less the mean of their list, since what a whole list has in common changes no order. Features are
    in standard deviations from their list's mean. The lists of half of the users teach the tree, the others judge it.

    Args:
        model: The list ranker.
        lists: Of the validation split.
        names: Of the F features.
        seed: Of the halves.

    Returns:
        `text`, the rules, each with the score that it gives; on the other users' lists `r_squared`, the share of the
        scores' variance that the rules explain, and `rank_correlation`, the mean over the lists of Spearman's; `lists`,
        how many. None where there are fewer than two users.
    """
    users = np.unique(lists.records)
    if len(users) < 2:
        return None
    taught = np.isin(lists.records, np.random.default_rng(seed).permutation(users)[: len(users) // 2])
    is_item, (values, scores) = lists.rows >= 0, _values_and_scores(model, lists)
    tree = DecisionTreeRegressor(max_depth=_DEPTH, min_samples_leaf=_LEAST_SHARE, random_state=seed)
    tree.fit(values[taught][is_item[taught]], scores[taught][is_item[taught]])
    judged, is_judged = values[~taught], is_item[~taught]
    predicted = np.zeros(is_judged.shape)
    predicted[is_judged] = tree.predict(judged[is_judged])
    return {
        "text": export_text(tree, feature_names=list(names), decimals=_PLACES_OF_VALUES),
        "r_squared": float(r2_score(scores[~taught][is_judged], predicted[is_judged])),
        "rank_correlation": mean_rank_correlation(scores[~taught], predicted, is_judged),
        "lists": len(is_judged),
    }


def mean_rank_correlation(scores: Float64, predicted: Float64, is_item: Bool) -> float:
    """Mean over the lists of Spearman's rank correlation, 0 for a list of equal values; all are `[lists, C]`."""
    return float(np.mean([_spearman(*pair) for pair in zip(scores, predicted, is_item, strict=True)]))


def _spearman(scores: Float64, predicted: Float64, is_item: Bool) -> float:
    ours, theirs = (rankdata(values[is_item]) for values in (scores, predicted))
    ours, theirs = ours - ours.mean(), theirs - theirs.mean()
    lengths = np.linalg.norm(ours) * np.linalg.norm(theirs)
    return float(ours @ theirs / lengths) if lengths > 0 else 0.0


def _values_and_scores(model: ListRanker, lists: CandidateLists) -> tuple[Float64, Float64]:
    """`[lists, C, F]` features in deviations from their list's mean, and `[lists, C]` logits less their list's mean."""
    is_item = lists.rows >= 0
    moments = model.standardisation.moments(lists.features, is_item)
    values = (lists.features - moments.mean.numpy()) * moments.scale.numpy()
    logits = logits_of(model, lists).astype(np.float64)
    count = np.maximum(is_item.sum(axis=1, keepdims=True), 1)
    mean = np.sum(np.where(is_item, logits, 0.0), axis=1, keepdims=True) / count
    return values.astype(np.float64), logits - mean
