"""Lists of candidates: what a retrieval model finds for queries whose targets are known, with labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from features.encoding.schema_encoder import SchemaEncoder
from trainer.cascade.counts import RefreshedCounts
from trainer.cascade.features import CandidateFeatures, Query
from trainer.cascade.new_candidates import Candidates, Vectors, best_new_items, popularity_of, with_new_items
from trainer.data.batches import baskets_of
from trainer.data.catalogue import EncodedCatalogue
from trainer.data.events import EncodedEvents, Float32, Int32, Int64
from trainer.metrics.lists import find_hits
from trainer.metrics.protocol import Bool, Ragged
from trainer.metrics.top_k import rank_by_inner_product
from trainer.retrieval.full_ranking import embed_queries, query_blocks
from trainer.retrieval.two_towers import TwoTowers

_LISTS_A_BLOCK = 128


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Events at which recommendations are asked for, and what the users did then."""

    asked_at: Int64
    """`[lists]`: the events; each query knows what came strictly before."""
    targets: Ragged
    """The catalogue rows to be found, -1 for items that it does not hold."""
    seen: Ragged | None
    """The catalogue rows that are left out of the lists; None if none are."""

    def sample(self, most: int, seed: int) -> "Questions":
        """At most so many questions, drawn at random, in their order."""
        if len(self.asked_at) <= most:
            return self
        drawn = np.sort(np.random.default_rng(seed).permutation(len(self.asked_at))[:most])
        seen = None if self.seen is None else self.seen.take(drawn)
        return Questions(asked_at=self.asked_at[drawn], targets=self.targets.take(drawn), seen=seen)


Retrieve: TypeAlias = Callable[[EncodedEvents, Questions], Candidates]


@dataclass(frozen=True, kw_only=True)
class FirstStage:
    """What the list ranker stands behind."""

    model: TwoTowers
    """The retrieval model."""
    features: CandidateFeatures
    """Features of what it finds, with tables of all events that it was trained on."""
    refreshed: RefreshedCounts | None = None
    """Counts of items as of each query; None for those that the features hold."""
    tells_time: bool = True
    """Whether a request tells its time, as the schema's `timestamp`."""
    new_candidates: int = 0
    """Number of candidates of each query that are reserved for items without training events; 0 reserves none."""


@dataclass(frozen=True, kw_only=True)
class CandidateLists:
    """Candidates of the queries, with the features that tell them apart."""

    rows: Int32
    """`[lists, C]`: rows of the catalogue in retrieval's order, -1 where a list is short."""
    features: Float32
    """`[lists, C, F]`, as `CandidateFeatures` makes them."""
    labels: Float32
    """`[lists, C]`: 1 for a target."""
    num_targets: Int64
    """`[lists]`: targets, those that are no candidates included."""
    records: Int64
    """`[lists]`: the records of the events, one a user, that the lists belong to."""
    is_reserved: Bool
    """`[lists, C]`: candidates at the end that are there for being new alone; retrieval's own list is without them."""

    def sample(self, most: int, seed: int) -> "CandidateLists":
        """At most so many lists, drawn at random, in their order."""
        if len(self.rows) <= most:
            return self
        drawn = np.sort(np.random.default_rng(seed).permutation(len(self.rows))[:most])
        return CandidateLists(
            rows=self.rows[drawn],
            features=self.features[drawn],
            labels=self.labels[drawn],
            num_targets=self.num_targets[drawn],
            records=self.records[drawn],
            is_reserved=self.is_reserved[drawn],
        )


def joined(parts: Sequence[CandidateLists]) -> CandidateLists:
    """The lists of several parts, one after the other."""
    return CandidateLists(
        rows=np.concatenate([part.rows for part in parts]),
        features=np.concatenate([part.features for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        num_targets=np.concatenate([part.num_targets for part in parts]),
        records=np.concatenate([part.records for part in parts]),
        is_reserved=np.concatenate([part.is_reserved for part in parts]),
    )


def questions_of(events: EncodedEvents, *, only_next: bool, exclude_seen: bool) -> Questions:
    """One question a record, at its first target, as the evaluation asks; with `only_next`, one a basket.

    Args:
        events: With targets after each record's context.
        only_next: Whether the targets are those of one moment: the next basket.
        exclude_seen: Whether items of the history are left out of the lists.
    """
    if only_next:
        baskets = baskets_of(events)
        asked_at = baskets.targets[baskets.splits[:-1]]
        targets = Ragged(baskets.splits, events.candidate_row[baskets.targets].astype(np.int64))
    else:
        first, ends = events.record_splits[:-1] + events.num_context, events.record_splits[1:]
        records = np.flatnonzero(first < ends)
        asked_at = first[records]
        targets = _between(events, asked_at, ends[records])
    starts = events.record_splits[:-1][events.record_of_event()[asked_at]]
    seen = _between(events, starts, asked_at) if exclude_seen else None
    return Questions(
        asked_at=asked_at,
        targets=targets.distinct(),
        seen=None if seen is None else seen.where(seen.values >= 0).distinct(),
    )


def candidate_lists(
    events: EncodedEvents, questions: Questions, retrieve: Retrieve, first: FirstStage, history: int
) -> CandidateLists:
    """Retrieves the candidates of every question and computes their features, block by block.

    Args:
        events: What the questions are asked of.
        questions: At some of the events.
        retrieve: Finds the candidates by the first stage.
        first: The first stage.
        history: Most entries of a query's history.
    """
    found = retrieve(events, questions)
    rows, asked_at = found.rows, questions.asked_at
    histories = histories_of(events, asked_at, history)
    if not first.tells_time:
        histories = histories._replace(asked_at=np.zeros_like(histories.asked_at))
    features = _features(first.features, histories, rows, found.scores)
    if first.refreshed is not None:
        features[..., first.features.item_places] = first.refreshed.columns(rows, events.timestamp[asked_at])
    return CandidateLists(
        rows=rows,
        features=features,
        labels=find_hits(rows.astype(np.int64), questions.targets).astype(np.float32),
        num_targets=questions.targets.lengths,
        records=events.record_of_event()[questions.asked_at].astype(np.int64),
        is_reserved=found.is_reserved,
    )


def retrieving(first: FirstStage, catalogue: EncodedCatalogue, encoder: SchemaEncoder, count: int) -> Retrieve:
    """Finds the best `count` items of the whole catalogue by the first stage, exactly; some of them are new items."""
    schema = encoder.schema
    is_new = catalogue.without_events(schema.item_id, encoder.lookup(schema.item_id).vocabulary.first_token_index)

    def retrieve(events: EncodedEvents, questions: Questions) -> Candidates:
        blocks = query_blocks(events, schema, questions.asked_at)
        vectors, added = embed_queries(first.model, blocks, len(catalogue))
        items = first.model.embed_candidates(catalogue).numpy()
        ranked = rank_by_inner_product(vectors, items, count, seen=questions.seen, added=added)
        found = Candidates(ranked.item_rows.astype(np.int32), ranked.scores, np.zeros(ranked.scores.shape, bool))
        if not first.new_candidates or not is_new.any():
            return found
        rows = np.flatnonzero(is_new)
        popularity = popularity_of(first.features, first.refreshed, rows, events.timestamp[questions.asked_at])
        named = Vectors(vectors, items, first.model.config.loss.temperature)
        new = best_new_items(named, rows, popularity, first.new_candidates, questions.seen)
        return Candidates(*(np.asarray(values) for values in with_new_items(found, new)))

    return retrieve


class Histories(NamedTuple):
    """What came strictly before some events, oldest first."""

    rows: Int32
    """`[lists, length]`: rows of the catalogue, -1 for padding."""
    times: Int64
    """`[lists, length]`: seconds since 1970-01-01 UTC, 0 for padding."""
    asked_at: Int64
    """`[lists]`: the time of the event that they come before, seconds since 1970-01-01 UTC."""


def histories_of(events: EncodedEvents, asked_at: Int64, length: int) -> Histories:
    """What came strictly before some events.

    Args:
        events: With the events that enter histories.
        asked_at: `[lists]`: the events.
        length: Most entries of a history; items that the catalogue does not hold take no place.
    """
    rows = np.full((len(asked_at), length), -1, np.int32)
    times = np.zeros((len(asked_at), length), np.int64)
    for place, event in enumerate(asked_at):
        entries = events.history_events[events.history_start[event] : events.history_end[event]]
        known = entries[events.candidate_row[entries] >= 0][-length:]
        rows[place, : len(known)] = events.candidate_row[known]
        times[place, : len(known)] = events.timestamp[known]
    return Histories(rows=rows, times=times, asked_at=events.timestamp[asked_at])


def _features(features: CandidateFeatures, histories: Histories, rows: Int32, scores: Float32) -> Float32:
    columns = (*histories, rows, scores)
    # One graph for blocks of any size: each fold has tables of its own, and TensorFlow warns of many tracings.
    specs = [tf.TensorSpec([None, *each.shape[1:]], each.dtype) for each in columns]

    @tf.function(input_signature=specs, autograph=False)
    def compute(
        history: tf.Tensor, times: tf.Tensor, asked_at: tf.Tensor, rows: tf.Tensor, scores: tf.Tensor
    ) -> tf.Tensor:
        return features(Query(history=history, history_times=times, asked_at=asked_at, candidates=rows, scores=scores))

    blocks = [slice(start, start + _LISTS_A_BLOCK) for start in range(0, len(rows), _LISTS_A_BLOCK)]
    return np.concatenate([compute(*(column[block] for column in columns)).numpy() for block in blocks])


def _between(events: EncodedEvents, starts: Int64, ends: Int64) -> Ragged:
    lengths = ends - starts
    positions = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    return Ragged.from_lengths(lengths, events.candidate_row[positions].astype(np.int64))
