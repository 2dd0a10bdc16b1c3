"""How well the list ranker orders what retrieval found, beside retrieval's own order."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer.cascade.lists import CandidateLists
from trainer.cascade.model import ListRanker
from trainer.data.events import Float32, Int64
from trainer.metrics.lists import ndcg_of_hits

NDCG, RETRIEVAL_NDCG = "ndcg", "retrieval_ndcg"
_LISTS_A_BLOCK = 256


class ListValidation:
    """The lists of the validation split; targets that are no candidates count as not found."""

    def __init__(self, lists: CandidateLists, *, cutoff: int) -> None:
        """Keeps the lists; `cutoff` places are judged."""
        self.lists, self._cutoff = lists, cutoff
        places = np.broadcast_to(np.arange(lists.rows.shape[1]), lists.rows.shape)
        self._retrieval = self._ndcg(places)

    def __call__(self, model: ListRanker) -> Mapping[str, float]:
        """Mean NDCG of the model's order and of retrieval's."""
        return {NDCG: self._ndcg(order_of(logits_of(model, self.lists))), RETRIEVAL_NDCG: self._retrieval}

    def _ndcg(self, order: Int64) -> float:
        hits = np.take_along_axis(self.lists.labels, order[:, : self._cutoff], axis=1) > 0
        return float(ndcg_of_hits(hits, self.lists.num_targets).mean())


def logits_of(model: ListRanker, lists: CandidateLists) -> Float32:
    """`[lists, C] float32`, in blocks."""
    blocks = [slice(start, start + _LISTS_A_BLOCK) for start in range(0, len(lists.rows), _LISTS_A_BLOCK)]
    return np.concatenate([model(lists.features[block], lists.rows[block] >= 0).numpy() for block in blocks])


def order_of(logits: Float32) -> Int64:
    """`[lists, C]`: the places of each list's candidates, best first; equal logits keep retrieval's order."""
    order: Int64 = np.argsort(-logits, axis=1, kind="stable")
    return order


def ranks_better(metrics: Mapping[str, Any]) -> bool:
    """Whether the list ranker ordered the validation lists better than retrieval did, by a stage's metrics.

    Without validation data there is nothing to say so, and retrieval's order is kept.
    """
    return bool(metrics.get(NDCG, 0.0) > metrics.get(RETRIEVAL_NDCG, 0.0))
