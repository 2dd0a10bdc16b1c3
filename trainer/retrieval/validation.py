"""How well a two-tower model finds what the validation users did next: exact, seen items excluded."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from features.encoding import Tensors
from features.schema import Schema
from trainer.batches import gather_query
from trainer.candidates import CandidateTable
from trainer.evaluation.protocol import Bool, Ragged
from trainer.evaluation.scoring import rank_by_inner_product
from trainer.events import Events, Float64, Int64
from trainer.models.two_tower import TwoTowerModel

NDCG = "ndcg@20"
_CUTOFFS = (10, 20, 100)
_QUERIES_A_BLOCK = 1024


class RetrievalValidation:
    """A fixed sample of validation users; each is asked once, at the first of the events to predict."""

    def __init__(self, events: Events, schema: Schema, candidates: CandidateTable, *, num_queries: int, seed: int):
        """Chooses the users and gathers their queries, seen items and targets.

        Args:
            events: of the validation split.
            schema: of the dataset.
            candidates: the catalogue.
            num_queries: users asked, at most.
            seed: of the sample.
        """
        first_target = _first_targets(events)
        sample = np.random.default_rng(seed).permutation(len(first_target))[:num_queries]
        first_target = np.sort(first_target[sample])
        records = events.record_of_event()[first_target]
        self._candidates = candidates
        self._query: Tensors = gather_query(events, schema)(tf.constant(first_target))
        starts, ends = events.record_splits[records], events.record_splits[records + 1]
        self._seen = _rows(events, starts, starts + events.num_context[records])
        self._targets = _rows(events, starts + events.num_context[records], ends)

    def __len__(self) -> int:
        return len(self._targets)

    def __call__(self, model: TwoTowerModel) -> Mapping[str, float]:
        """Mean recall and NDCG of the sample at a few cutoffs."""
        items = model.embed_candidates(self._candidates).numpy()
        queries = np.concatenate([model.query_tower(block).numpy() for block in self._blocks()])
        ranked = rank_by_inner_product(queries, items, max(_CUTOFFS), seen=self._seen).item_rows
        hits = _hits(ranked, self._targets)
        num_targets = self._targets.lengths
        return {
            name: float(values.mean())
            for k in _CUTOFFS
            for name, values in {
                f"recall@{k}": _recall(hits, num_targets, k),
                f"ndcg@{k}": _ndcg(hits, num_targets, k),
            }.items()
        }

    def _blocks(self) -> list[Tensors]:
        starts = range(0, len(self), _QUERIES_A_BLOCK)
        return [
            {name: values[start : start + _QUERIES_A_BLOCK] for name, values in self._query.items()} for start in starts
        ]


def _first_targets(events: Events) -> Int64:
    """The first event to predict of each record that has one."""
    targets = events.targets()
    _, first = np.unique(events.record_of_event()[targets], return_index=True)
    return targets[first]


def _rows(events: Events, starts: Int64, ends: Int64) -> Ragged:
    """The distinct catalogue rows of stretches of events."""
    lengths = ends - starts
    positions = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    rows = Ragged.from_lengths(lengths, events.candidate_row[positions])
    return rows.where(rows.values >= 0).distinct()


def _hits(ranked: Int64, targets: Ragged) -> Bool:
    """`[queries, k] bool`: whether the ranked item is one of the query's targets."""
    base = max(int(ranked.max(initial=0)), int(targets.values.max(initial=0))) + 1
    wanted = targets.row_of_value * base + targets.values
    keys = np.where(ranked < 0, -1, np.arange(len(ranked))[:, None] * base + ranked)
    return np.isin(keys, wanted)


def _recall(hits: Bool, num_targets: Int64, k: int) -> Float64:
    recall: Float64 = hits[:, :k].sum(axis=1) / num_targets
    return recall


def _ndcg(hits: Bool, num_targets: Int64, k: int) -> Float64:
    """DCG of binary gains over that of the best possible list (Järvelin & Kekäläinen 2002)."""
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    best = np.cumsum(discounts)[np.minimum(num_targets, k) - 1]
    ndcg: Float64 = hits[:, :k] @ discounts / best
    return ndcg
