"""How well a two-tower model finds what the validation users did next: exact, judged as the evaluation judges."""

from collections.abc import Mapping

import numpy as np

from features.schema import Schema
from trainer.config.evaluation import EvaluationConfig
from trainer.data.catalogue import EncodedCatalogue
from trainer.data.events import EncodedEvents, Int64
from trainer.metrics.lists import query_metrics
from trainer.metrics.protocol import Ragged
from trainer.retrieval.full_ranking import query_blocks, rank_by_model
from trainer.retrieval.two_towers import TwoTowers

NDCG = "ndcg@20"
_CUTOFFS = (10, 20, 100)
_SHOWN = ("recall@", "ndcg@")


class RetrievalValidation:
    """A fixed sample of validation users; each is asked once, at the first of the events to predict."""

    def __init__(
        self,
        events: EncodedEvents,
        schema: Schema,
        candidates: EncodedCatalogue,
        evaluation: EvaluationConfig,
        *,
        num_queries: int,
        seed: int,
    ) -> None:
        """Chooses the users and gathers their queries, seen items and targets.

        Args:
            events: Encoded events of the validation split.
            schema: The dataset's schema.
            candidates: The catalogue.
            evaluation: Says which items are left out of the rankings, and which events are to be found.
            num_queries: Largest number of users asked.
            seed: Seed of the sample of users.
        """
        first_target = _first_targets(events)
        sample = np.random.default_rng(seed).permutation(len(first_target))[:num_queries]
        first_target = np.sort(first_target[sample])
        records = events.record_of_event()[first_target]
        self._candidates = candidates
        self._blocks = list(query_blocks(events, schema, first_target))
        starts = events.record_splits[:-1]
        context_ends = starts + events.num_context
        ends = events.ends_of_moments(context_ends) if evaluation.targets == "next" else events.record_splits[1:]
        self._seen = _rows(events, starts[records], context_ends[records]) if evaluation.exclude_seen else None
        self._targets = _rows(events, context_ends[records], ends[records])

    def __len__(self) -> int:
        return len(self._targets)

    def __call__(self, towers: TwoTowers) -> Mapping[str, float]:
        """Mean recall and NDCG of the sample at a few cutoffs."""
        ranked = rank_by_model(towers, self._candidates, self._blocks, max(_CUTOFFS), seen=self._seen)
        metrics = query_metrics(ranked.item_rows, self._targets, _CUTOFFS)
        return {name: float(values.mean()) for name, values in metrics.items() if name.startswith(_SHOWN)}


def _first_targets(events: EncodedEvents) -> Int64:
    """The first event to predict of each record that has one."""
    targets = events.targets()
    _, first = np.unique(events.record_of_event()[targets], return_index=True)
    return targets[first]


def _rows(events: EncodedEvents, starts: Int64, ends: Int64) -> Ragged:
    """The distinct catalogue rows of stretches of events."""
    lengths = ends - starts
    positions = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    rows = Ragged.from_lengths(lengths, events.candidate_row[positions])
    return rows.where(rows.values >= 0).distinct()
