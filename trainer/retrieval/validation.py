"""How well a two-tower model finds what the validation users did next: exact, judged as the evaluation judges."""

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp

from features.encoding.schema_encoder import SchemaEncoder
from trainer.config.evaluation import EvaluationConfig
from trainer.data.catalogue import EncodedCatalogue
from trainer.data.events import EncodedEvents, Int64
from trainer.metrics.lists import query_metrics
from trainer.metrics.protocol import Float, Ragged
from trainer.metrics.top_k import rank_by_inner_product
from trainer.retrieval.full_ranking import embed_queries, query_blocks
from trainer.retrieval.new_items import bearable_shift, ranked_apart
from trainer.retrieval.two_towers import TwoTowers

NDCG = "ndcg@20"
_CUTOFFS = (10, 20, 100)
_SHOWN = ("recall@", "ndcg@")


class RetrievalValidation:
    """A fixed sample of validation users; each is asked once, at the first of the events to predict."""

    def __init__(
        self,
        events: EncodedEvents,
        encoder: SchemaEncoder,
        candidates: EncodedCatalogue,
        evaluation: EvaluationConfig,
        *,
        num_queries: int,
        seed: int,
    ) -> None:
        """Chooses the users and gathers their queries, seen items and targets.

        Args:
            events: Encoded events of the validation split.
            encoder: Of the dataset.
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
        item_id = encoder.schema.item_id
        self._is_new = candidates.without_events(item_id, encoder.lookup(item_id).vocabulary.first_token_index)
        self._blocks = list(query_blocks(events, encoder.schema, first_target))
        starts = events.record_splits[:-1]
        context_ends = starts + events.num_context
        ends = events.ends_of_moments(context_ends) if evaluation.targets == "next" else events.record_splits[1:]
        self._seen = _rows(events, starts[records], context_ends[records]) if evaluation.exclude_seen else None
        self._targets = _rows(events, context_ends[records], ends[records])

    def __len__(self) -> int:
        return len(self._targets)

    def __call__(self, towers: TwoTowers) -> Mapping[str, float]:
        """Mean recall and NDCG of the sample at a few cutoffs.

        With `new_item_cost`, the sample first decides what the towers add to the scores of new items; the metrics are
        those with that.
        """
        vectors, added = embed_queries(towers, self._blocks, len(self._candidates))
        if towers.config.new_item_cost:
            self._lift_new_items(towers, vectors, added)
        items = towers.embed_candidates(self._candidates).numpy()
        ranked = rank_by_inner_product(vectors, items, max(_CUTOFFS), seen=self._seen, added=added)
        metrics = query_metrics(ranked.item_rows, self._targets, _CUTOFFS)
        return {name: float(values.mean()) for name, values in metrics.items() if name.startswith(_SHOWN)}

    def _lift_new_items(self, towers: TwoTowers, vectors: Float, added: sp.csr_array | None) -> None:
        """Sets the shift from the sample; 0 if no new item is among the targets."""
        towers.lift_new_items(0.0)
        if not self._is_new[self._targets.values].any() or self._is_new.all():
            return
        items, cutoff = towers.embed_candidates(self._candidates).numpy(), int(NDCG.partition("@")[2])
        found = ranked_apart(vectors, items, self._is_new, cutoff, seen=self._seen, added=added)
        config = towers.config
        scale = config.loss.temperature
        towers.lift_new_items(bearable_shift(found, self._targets, scale, cutoff, cost=config.new_item_cost))


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
