"""A little tuning on validation, so that no baseline loses for want of a parameter."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from trainer.baselines.contract import Baseline
from trainer.metrics.lists import query_metrics
from trainer.metrics.protocol import EvaluationSet, Interactions
from trainer.metrics.top_k import rank_by_scorer

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """One variant that was tried."""

    baseline: Baseline
    """The variant."""
    value: float
    """The metric's mean over the validation queries."""


@dataclass(frozen=True)
class Tuned:
    """The best variant and the way to it."""

    baseline: Baseline
    """The best; the first of equal ones."""
    trials: tuple[Trial, ...]
    """All that were tried, in order."""


def tune(
    baseline: Baseline,
    interactions: Interactions,
    validation: EvaluationSet,
    *,
    metric: str = "ndcg@10",
    exclude_seen: bool = True,
) -> Tuned:
    """Searches the baseline's grid one parameter after the other, keeping the best value of each.

    A sum of fits instead of a product: baselines are to be tuned a little, in little time.

    Args:
        baseline: where the search starts.
        interactions: what each variant is fitted on.
        validation: what each variant is judged by.
        metric: a name that `query_metrics` gives, such as `ndcg@10`.
        exclude_seen: whether the items of `validation.seen` are left out of the rankings.
    """
    k = int(metric.partition("@")[2])

    def judge(variant: Baseline) -> Trial:
        ranked = rank_by_scorer(variant.fit(interactions), validation, k, exclude_seen=exclude_seen)
        value = float(np.mean(query_metrics(ranked.item_rows, validation.targets, [k])[metric]))
        _log.info("%s: %s %.4f", variant, metric, value)
        return Trial(variant, value)

    trials = [judge(baseline)]
    for parameter, values in baseline.grid.items():
        best = max(trials, key=lambda trial: trial.value).baseline
        variants = [replace(best, **{parameter: value}) for value in values]
        trials += [judge(variant) for variant in variants if variant != best]
    return Tuned(max(trials, key=lambda trial: trial.value).baseline, tuple(trials))
