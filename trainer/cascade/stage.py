"""The list ranking stage: orders what a retrieval model finds, learnt from what one found for later events.

Retrieval's scores of events that it was trained on are far too good. So retrieval is trained again on the earlier part
of the training events, once for each fold, and the list ranker learns from the candidates that it finds for the fold's
later window: each list's other candidates are the negatives. What is served ranks the candidates of the retrieval that
was trained on all training events, with the tables of all training events.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.disk.layout import SPLITS, RunLayout, Split, StageName
from features.disk.shards import shards
from features.errors import ConfigError, InputError
from features.schema import Schema
from trainer.cascade.counts import ItemCounts, RefreshedCounts
from trainer.cascade.features import CandidateFeatures, Layout
from trainer.cascade.folds import Fold, FoldDataset, fold_of, known_by
from trainer.cascade.lists import CandidateLists, FirstStage, candidate_lists, joined, questions_of, retrieving
from trainer.cascade.model import ListRanker
from trainer.cascade.tables import Source, fit_candidate_features, layout_of, names_apart
from trainer.cascade.validation import NDCG, ListValidation
from trainer.config.cascade import ListRankerConfig
from trainer.data.batches import Batch, BatchPlan, plan_batches
from trainer.data.encoded_dataset import EncodedDataset
from trainer.data.events import EncodedEvents, Int64, load_events
from trainer.data.stored_events import StoredEvents
from trainer.metrics.protocol import Interactions
from trainer.retrieval.model import TwoTowerModel
from trainer.retrieval.stage import RetrievalStage
from trainer.retrieval.two_towers import TwoTowers
from trainer.training.inputs import config_fingerprint
from trainer.training.progress import Metrics
from trainer.training.stage import Stage, StageContext

RetrievalTraining: TypeAlias = Callable[[StageContext, RetrievalStage], TwoTowers]


@dataclass(frozen=True, kw_only=True)
class FoldRetrieval(RetrievalStage):
    """Retrieval trained on the earlier events of a fold."""

    can_stream: ClassVar[bool] = False

    ranker: ListRankerConfig
    """How the folds are cut."""
    number: int
    """Number of the fold."""
    frequency: Int64 = field(repr=False, compare=False)
    """`[items]`: how many of the fold's earlier events each item of the catalogue has."""

    def inputs(self) -> Mapping[str, str]:
        """Adds how the fold is cut."""
        cut = f"{self.ranker.fold_kind}, gap {self.ranker.gap}, window {self.ranker.window}, fold {self.number}"
        new_items = {"new items": "without earlier events"} if self.ranker.new_item_candidates else {}
        return {**super().inputs(), "fold": cut, **new_items}

    def fold(self, events: EncodedEvents) -> Fold:
        """The fold of the training events."""
        return _fold(events, self.ranker, self.number)

    def dataset(self, dataset: EncodedDataset) -> EncodedDataset:
        """The dataset as the fold knows it: the train frequencies are those of the earlier events.

        Where the ranker has candidates among new items, these are the items without earlier events.
        """
        if self.ranker.new_item_candidates:
            return known_by(dataset, self.frequency)
        return replace(dataset, candidates=replace(dataset.candidates, train_frequency=self.frequency))

    def load_events(self, context: StageContext, dataset: EncodedDataset) -> EncodedEvents:
        """The earlier events of the fold."""
        return self.fold(self.events_in_memory(context, dataset)).earlier

    def make_model(
        self, dataset: EncodedDataset, events: EncodedEvents | StoredEvents | None, seed: int
    ) -> TwoTowerModel:
        """The model, which knows the train frequencies of the earlier events alone, also where it is restored."""
        return super().make_model(self.dataset(dataset), events, seed)

    def make_validation(
        self, context: StageContext, dataset: EncodedDataset
    ) -> Callable[[TwoTowerModel], Metrics] | None:
        """As for retrieval, with the fold's new items, whose scores it shifts if that is configured."""
        return super().make_validation(context, self.dataset(dataset))


@dataclass(frozen=True, kw_only=True)
class ListRankingStage(Stage[ListRankerConfig, CandidateLists, ListRanker, ListRanker]):
    """Trains the list ranker and keeps the epoch with the best NDCG on the validation split."""

    name: ClassVar[StageName] = "list_ranking"
    objective: ClassVar[str] = NDCG
    maximise: ClassVar[bool] = True
    can_start_from: ClassVar[bool] = False

    retrieval: RetrievalStage
    """The first stage, whose candidates are ranked."""
    train_retrieval: RetrievalTraining
    """Trains a retrieval stage, or finds it trained, and restores its model."""

    def require(self, schema: Schema) -> None:
        """Refuses what the first stage refuses, and places for new items where validation judges retrieval's order."""
        self.retrieval.require(schema)
        config = self.config
        if config.new_item_candidates and config.candidates - config.num_new_candidates < self.cutoff:
            expected = (
                f"a share that leaves at least {self.cutoff} of {config.candidates} candidates, the places that "
                "validation judges; set it to 0 or raise list_ranking.candidates"
            )
            raise ConfigError("list_ranking.new_item_candidates", config.new_item_candidates, expected)

    def inputs(self) -> Mapping[str, str]:
        """The first stage, and the length of the lists by which the validation chooses the epoch."""
        first = {"retrieval": config_fingerprint(self.retrieval.config), **self.retrieval.inputs()}
        return first | {"validation_cutoff": str(self.cutoff)}

    @property
    def cutoff(self) -> int:
        """Places of a list by which the validation judges."""
        return min(self.retrieval.evaluation.cutoffs)

    def load_events(self, context: StageContext, dataset: EncodedDataset) -> CandidateLists:
        """The candidates of every fold's window, a sample of them where there are very many."""
        events = self.retrieval.events_in_memory(context, dataset)
        lists = [self._fold_lists(context, dataset, events, number) for number in range(self.config.folds)]
        return joined(lists).sample(self.config.max_lists, context.seed)

    def _fold_lists(
        self, context: StageContext, dataset: EncodedDataset, events: EncodedEvents, number: int
    ) -> CandidateLists:
        stage = self.fold_retrieval(dataset, events, number)
        directory = context.run.stage(self.name).directory / "folds" / str(number)
        model = self.train_retrieval(replace(context, run=RunLayout(directory), start_from=None), stage)
        fold, dataset = stage.fold(events), stage.dataset(dataset)
        window = dataset.renumbered(fold.window) if isinstance(dataset, FoldDataset) else fold.window
        first = FirstStage(
            model=model,
            features=self.features(dataset, fold.earlier, model, known=[fold.known]),
            refreshed=self._refreshed(dataset, [fold.known, fold.window]),
            tells_time=tells_time(dataset.encoder.schema),
            new_candidates=self.config.num_new_candidates,
        )
        return self.lists(context, dataset, window, first)

    def fold_retrieval(self, dataset: EncodedDataset, events: EncodedEvents, number: int) -> FoldRetrieval:
        """The first stage of a fold of the training events."""
        rows = _fold(events, self.config, number).earlier.candidate_row
        config = self.retrieval.config
        if not self.config.new_item_candidates:
            # What is new after all training events is no positive of a fold, whose lists would teach that it never is.
            config = replace(config, new_item_cost=0.0, new_item_neighbours=0)
        return FoldRetrieval(
            config=config,
            evaluation=self.retrieval.evaluation,
            ranker=self.config,
            number=number,
            frequency=np.bincount(rows[rows >= 0], minlength=len(dataset.candidates)),
        )

    def features(
        self, dataset: EncodedDataset, events: EncodedEvents, model: TwoTowers, *, known: Sequence[EncodedEvents]
    ) -> CandidateFeatures:
        """The candidates' features, with tables of the events that a retrieval model was trained on.

        Args:
            dataset: Encoder and catalogue; the events' catalogue rows refer to it.
            events: That the retrieval model was trained on.
            model: The retrieval model.
            known: Events that had happened when the queries are asked; items are counted over these, but not over the
                context of their records.
        """
        is_item = events.candidate_row >= 0
        interactions = Interactions.from_events(
            events.record_of_event()[is_item].astype(np.int64),
            events.candidate_row[is_item].astype(np.int64),
            events.timestamp[is_item],
            num_users=events.num_records,
            num_items=len(dataset.candidates),
        )
        source = Source(
            interactions=interactions,
            counts=item_counts(known, len(dataset.candidates)),
            refresh_days=self.config.refresh_days,
            item_vectors=model.embed_candidates(dataset.candidates).numpy(),
            item_values=item_values(dataset),
            neighbours=self.config.neighbours,
            with_times=has_times(dataset.encoder.schema),
        )
        return fit_candidate_features(source)

    def first_stage(
        self, context: StageContext, dataset: EncodedDataset, model: TwoTowers, known: Sequence[Split]
    ) -> FirstStage:
        """The retrieval model that is served, with its features, before the queries of the next split.

        Args:
            context: Dataset and run.
            dataset: Encoder and catalogue.
            model: The retrieval model that is served.
            known: Splits before the queries; items are counted over their events, and over those of the queries' own
                split as far as a refresh before the query knows them.
        """
        splits = SPLITS[: len(known) + 1] if self.config.refresh_days else known
        events, training = _events_of(context, dataset, splits), self.retrieval.events_in_memory(context, dataset)
        return FirstStage(
            model=model,
            features=self.features(dataset, training, model, known=events[: len(known)]),
            refreshed=self._refreshed(dataset, events),
            tells_time=tells_time(dataset.encoder.schema),
            new_candidates=self.config.num_new_candidates,
        )

    def _refreshed(self, dataset: EncodedDataset, events: Sequence[EncodedEvents]) -> RefreshedCounts | None:
        """Counts as of the last refresh before each query; None if items are counted once."""
        if not self.config.refresh_days:
            return None
        return RefreshedCounts(item_counts(events, len(dataset.candidates)), self.config.refresh_days)

    def served_features(
        self, context: StageContext, dataset: EncodedDataset, model: TwoTowers, known: Sequence[Split]
    ) -> CandidateFeatures:
        """The features behind the retrieval model that is served, with tables of all training events.

        Args:
            context: Dataset and run.
            dataset: Encoder and catalogue, which may be a newer one than the models were trained on.
            model: The retrieval model that is served.
            known: Splits over whose events items are counted: those before the queries.
        """
        events = self.retrieval.events_in_memory(context, dataset)
        return self.features(dataset, events, model, known=_events_of(context, dataset, known))

    def counted(
        self, context: StageContext, dataset: EncodedDataset, features: CandidateFeatures, *, known: Sequence[Split]
    ) -> CandidateFeatures:
        """The same features with items counted over the events of other splits."""
        counts = item_counts(_events_of(context, dataset, known), len(dataset.candidates))
        return features.with_columns(counts.columns(self.config.refresh_days))

    def lists(
        self,
        context: StageContext,
        dataset: EncodedDataset,
        events: EncodedEvents,
        first: FirstStage,
    ) -> CandidateLists:
        """What a first stage finds for the targets of some events."""
        evaluation = self.retrieval.evaluation
        questions = questions_of(
            events, only_next=evaluation.targets == "next", exclude_seen=evaluation.exclude_seen
        ).sample(self.config.max_lists, context.seed)
        retrieve = retrieving(first, dataset.candidates, dataset.encoder, self.config.candidates)
        return candidate_lists(events, questions, retrieve, first, self.config.history)

    def make_examples(self, events: CandidateLists, context: StageContext) -> BatchPlan:
        """One example a list that holds a target."""
        lists = events
        with_target = np.flatnonzero(lists.labels.any(axis=1))
        if len(with_target) == 0:
            raise InputError(
                "no list of candidates holds what the user took: retrieval finds none of the later training events; "
                "raise list_ranking.candidates or list_ranking.window, or set list_ranking.enabled = false"
            )

        # Arrays would become constants of the graph, a copy in each epoch.
        is_item, features, labels = tf.constant(lists.rows >= 0), tf.constant(lists.features), tf.constant(lists.labels)

        def gather(indices: tf.Tensor) -> Batch:
            return {
                "features": tf.gather(features, indices),
                "is_item": tf.gather(is_item, indices),
                "labels": tf.gather(labels, indices),
                "weight": tf.ones_like(indices, tf.float32),
            }

        return plan_batches(
            with_target,
            gather,
            batch_size=self.config.batch_size,
            replicas=context.cluster.num_replicas,
            seed=context.seed,
        )

    def make_model(self, dataset: EncodedDataset, events: CandidateLists | None, seed: int) -> ListRanker:
        """The model, its inputs standardised by the training lists."""
        model = ListRanker(self.config, len(feature_layout(dataset).names), seed=seed)
        if events is not None:
            model.standardisation.fit(events.features, events.rows >= 0)
        return model

    def trained(self, model: ListRanker) -> ListRanker:
        """Returns the model itself."""
        return model

    def make_validation(self, context: StageContext, dataset: EncodedDataset) -> ListValidation | None:
        """Ranks what the served retrieval model finds for the validation split's users."""
        events = self.validation_events(context, dataset)
        if events is None:
            return None
        model = self.train_retrieval(context, self.retrieval)
        first = self.first_stage(context, dataset, model, known=("train",))
        lists = self.lists(context, dataset, events, first)
        return ListValidation(lists, cutoff=self.cutoff)

    def validation_events(self, context: StageContext, dataset: EncodedDataset) -> EncodedEvents | None:
        """The events of the validation split; None where there is nothing to find."""
        if not shards(context.dataset.interactions("validation")):
            return None
        (events,) = _events_of(context, dataset, ("validation",))
        return events if len(events.targets()) > 0 else None


def _fold(events: EncodedEvents, ranker: ListRankerConfig, number: int) -> Fold:
    return fold_of(events, ranker.fold_kind, gap=ranker.gap, window=ranker.window, number=number)


def _events_of(context: StageContext, dataset: EncodedDataset, splits: Sequence[Split]) -> list[EncodedEvents]:
    directory, rows = context.dataset.interactions, dataset.candidates.rows()
    return [load_events(directory(split), dataset.encoder, rows, records="retrieval") for split in splits]


def item_counts(known: Sequence[EncodedEvents], num_items: int) -> ItemCounts:
    """The items and times of some events; those that are a record's context belong to others."""
    parts = [(events, events.targets()) for events in known]
    return ItemCounts(
        rows=np.concatenate([events.candidate_row[places] for events, places in parts]).astype(np.int64),
        times=np.concatenate([events.timestamp[places] for events, places in parts]),
        is_repeated=np.concatenate([is_repeated(events)[places] for events, places in parts]),
        num_items=num_items,
    )


def is_repeated(events: EncodedEvents) -> npt.NDArray[np.bool_]:
    """`[events]`: whether the record holds the event's item at an earlier time."""
    records, rows, times = events.record_of_event(), events.candidate_row, events.timestamp
    order = np.lexsort((times, rows, records))
    is_same = np.zeros(len(order), bool)
    is_same[1:] = (rows[order][1:] == rows[order][:-1]) & (records[order][1:] == records[order][:-1])
    starts = np.maximum.accumulate(np.where(is_same, 0, np.arange(len(order))))
    found = np.zeros(len(order), bool)
    found[order] = times[order] > times[order][starts]
    return found


def has_times(schema: Schema) -> bool:
    """Whether requests and known histories tell when the history's events were."""
    return schema.history_times is not None


def tells_time(schema: Schema) -> bool:
    """Whether requests tell their time."""
    return schema.timestamp in {feature.name for feature in schema.query}


def feature_layout(dataset: EncodedDataset) -> Layout:
    """The features of the candidates of a dataset."""
    return layout_of(item_values(dataset), with_times=has_times(dataset.encoder.schema))


def item_values(dataset: EncodedDataset) -> dict[str, np.ndarray]:
    """Indices of the values of each candidate feature that has a vocabulary or buckets, `[items, values] int32`.

    By the names of `names_apart`.
    """
    item_id, features = dataset.encoder.schema.item_id, dataset.candidates.features
    names = names_apart(name for name, values in features.items() if name != item_id and values.dtype == tf.int32)
    return {apart: features[name].numpy().reshape(len(dataset.candidates), -1) for name, apart in names.items()}
