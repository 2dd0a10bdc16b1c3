"""Rules on what the lists show: beside the live model's lists, and of the catalogue."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from recstack.retraining.config import GateConfig
from recstack.retraining.gate.check import Check, band
from recstack.retraining.gate.evidence import Evidence, Lists
from recstack.retraining.gate.quality import judged_pairs
from trainer.metrics.lists import catalogue_metrics
from trainer.metrics.protocol import UNKNOWN

_BINS = 10
# Added to the share of each bin, so that empty bins have a logarithm.
_PRIOR = 1e-4


def lists_resemble_the_live_ones(evidence: Evidence, gate: GateConfig) -> Iterator[Check]:
    """Overlap of the lists within a band, and the drift of the best score."""
    rule = gate.predictions
    for model, (new, live) in judged_pairs(evidence).items():
        shared, drift = overlap(new, live), score_drift(live.scores[:, 0], new.scores[:, 0])
        for bound, threshold in band(rule.smallest_overlap, rule.largest_overlap):
            yield Check(
                rule="predictions",
                what=f"share of a list of {model} that the live model answers too",
                measured=shared,
                bound=bound,
                threshold=threshold,
                detail=f"population stability index of the best score {drift:.3f}",
            )
        if rule.largest_score_drift is not None:
            yield Check(
                rule="predictions",
                what=f"population stability index of the best score of {model}",
                measured=drift,
                bound="at most",
                threshold=rule.largest_score_drift,
            )


def overlap(new: Lists, live: Lists) -> float:
    """Mean share of the new lists' items that are in the live list of the same query."""
    shares = [
        np.isin(ours[ours != UNKNOWN], theirs).mean()
        for ours, theirs in zip(new.rows, live.rows, strict=True)
        if (ours != UNKNOWN).any()
    ]
    return float(np.mean(shares)) if shares else 0.0


def score_drift(before: npt.NDArray[np.float32], now: npt.NDArray[np.float32]) -> float:
    """Population stability index over the deciles of the scores before; scores that are not finite are left out."""
    before, now = before[np.isfinite(before)], now[np.isfinite(now)]
    if len(before) == 0 or len(now) == 0:
        return float("nan")
    edges = np.unique(np.quantile(before, np.arange(1, _BINS) / _BINS))
    old, new = (
        np.bincount(np.searchsorted(edges, each, side="right"), minlength=len(edges) + 1) / len(each) + _PRIOR
        for each in (before, now)
    )
    return float(((new - old) * np.log(new / old)).sum())


def catalogue_is_shown(evidence: Evidence, gate: GateConfig) -> Iterator[Check]:
    """Coverage beside the live model's, and the share of places that items without training events take."""
    rule, k = gate.coverage, gate.cutoff
    for model, lists in evidence.new.items():
        if model == "retrieval_exact" and "retrieval" in evidence.new:
            continue
        coverage = _coverage(lists, evidence, k)
        if model in evidence.live:
            before = _coverage(evidence.live[model], evidence, k)
            yield Check(
                rule="coverage",
                what=f"coverage@{k} of {model}",
                measured=coverage,
                bound="at least",
                threshold=rule.smallest_share * before,
                detail=f"{rule.smallest_share:g} of the live model's {before:.4f}",
            )
        shown = lists.rows[:, :k]
        shown = shown[shown != UNKNOWN]
        yield Check(
            rule="coverage",
            what=f"share of places of {model} for items without a training event",
            measured=float((evidence.popularity[shown] == 0).mean()) if len(shown) else 0.0,
            bound="at most",
            threshold=rule.largest_cold_share,
        )


def _coverage(lists: Lists, evidence: Evidence, k: int) -> float:
    return catalogue_metrics(lists.rows, evidence.popularity, k)[f"coverage@{k}"]
