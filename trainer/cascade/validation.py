"""How well the list ranker orders what retrieval found, beside retrieval's order, and which of the two is served."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.cascade.lists import CandidateLists
from trainer.cascade.model import ListRanker
from trainer.data.events import Float32, Float64, Int64
from trainer.metrics.intervals import paired_test
from trainer.metrics.lists import ndcg_of_hits

NDCG, RETRIEVAL_NDCG = "ndcg", "retrieval_ndcg"
GAIN_LOW, GAIN_HIGH = "gain_low", "gain_high"
"""Bounds of the 95 % bootstrap interval of the mean difference in NDCG, paired by user."""
_LISTS_A_BLOCK = 256


class ListValidation:
    """The lists of the validation split; targets that are no candidates count as not found."""

    def __init__(self, lists: CandidateLists, *, cutoff: int) -> None:
        """Keeps the lists; `cutoff` places are judged."""
        self.lists, self._cutoff = lists, cutoff
        self._users = np.unique(lists.records, return_inverse=True)[1]
        # What is reserved is at the end, where retrieval's order is not judged.
        places = np.broadcast_to(np.arange(lists.rows.shape[1]), lists.rows.shape)
        self.retrieval_ndcg = self._ndcg(places)
        """`[lists] float64`: NDCG of retrieval's order."""

    def __call__(self, model: ListRanker) -> Mapping[str, float]:
        """Mean NDCG of the model's order and of retrieval's, and the interval of their difference."""
        ndcg = self.ndcg_of(model)
        gain = paired_test(ndcg, self.retrieval_ndcg, self._users).difference
        return {
            NDCG: float(ndcg.mean()),
            RETRIEVAL_NDCG: float(self.retrieval_ndcg.mean()),
            GAIN_LOW: gain.low,
            GAIN_HIGH: gain.high,
        }

    def ndcg_of(self, model: ListRanker) -> Float64:
        """`[lists] float64`: NDCG of the model's order."""
        return self._ndcg(order_of(logits_of(model, self.lists)))

    def _ndcg(self, order: Int64) -> Float64:
        hits = np.take_along_axis(self.lists.labels, order[:, : self._cutoff], axis=1) > 0
        return ndcg_of_hits(hits, self.lists.num_targets)


@dataclass(frozen=True)
class Verdict:
    """Which order is served, by the validation."""

    ranks: bool
    """Whether it is the list ranker's; else it is retrieval's."""
    reason: str
    """The numbers that decided, for people."""


def verdict(metrics: Mapping[str, Any]) -> Verdict:
    """Serves the list ranker where it was better on validation by more than chance.

    That is where the whole 95 % interval of the difference in NDCG lies above 0. Few users leave a wide interval, and a
    second stage that may be of no use costs time in every request.

    Args:
        metrics: Of the stage's manifest.
    """
    if GAIN_LOW not in metrics:
        return Verdict(False, "there are no validation lists to compare the list ranker with retrieval on")
    low, high = metrics[GAIN_LOW], metrics[GAIN_HIGH]
    ours, theirs = metrics[NDCG], metrics[RETRIEVAL_NDCG]
    ranks = bool(low > 0)
    reason = (
        f"validation NDCG {ours:.4f} by the list ranker, {theirs:.4f} by retrieval, difference {ours - theirs:+.4f} "
        f"[{low:+.4f}, {high:+.4f}], {'all' if ranks else 'not all'} above 0"
    )
    return Verdict(ranks, reason)


def logits_of(model: ListRanker, lists: CandidateLists) -> Float32:
    """`[lists, C] float32`, in blocks."""
    blocks = [slice(start, start + _LISTS_A_BLOCK) for start in range(0, len(lists.rows), _LISTS_A_BLOCK)]
    return np.concatenate([model(lists.features[block], lists.rows[block] >= 0).numpy() for block in blocks])


def order_of(logits: Float32) -> Int64:
    """`[lists, C]`: the places of each list's candidates, best first; equal logits keep retrieval's order."""
    order: Int64 = np.argsort(-logits, axis=1, kind="stable")
    return order
