"""Puts servables together from trained models; what several of them need is restored and built once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.disk.layout import SPLITS, DatasetLayout, ModelName, StageName, Workdir
from features.disk.manifest import read_manifest
from features.encoding.schema_encoder import SchemaEncoder
from trainer.cascade.new_candidates import LOG_EVENTS
from trainer.cascade.stage import ListRankingStage
from trainer.cascade.validation import verdict
from trainer.config.export import ExportConfig
from trainer.config.index import ExactConfig, IndexConfig
from trainer.data.catalogue import EncodedCatalogue, load_catalogue
from trainer.data.encoded_dataset import EncodedDataset, encode_dataset
from trainer.data.events import EncodedEvents
from trainer.data.raw_catalogue import read_raw_candidates
from trainer.data.sampling import sample_targets
from trainer.export.earlier_items import EarlierItems, earlier_items
from trainer.export.histories import stored_histories, user_histories
from trainer.export.items import ItemFeatures
from trainer.export.new_items import KeptCandidates, NewItems
from trainer.export.orders import ListOrder, Order, RankingOrder, RetrievalOrder
from trainer.export.query import QueryInputs, StoredHistories
from trainer.export.recommender import ListRules, RecommenderServable
from trainer.export.servables import Ranker, RankingServable, RetrievalServable, Towers
from trainer.index.attributes import ItemAttributes
from trainer.index.build import BuiltIndex, build_index
from trainer.index.filtered_retriever import Retriever
from trainer.index.item_ids import ItemIds
from trainer.ranking.explanation import explain_pairs, explained_features
from trainer.ranking.model import RankingModel
from trainer.reranking.caps import make_caps
from trainer.restore import Trained, restore
from trainer.retrieval.full_ranking import embed_queries, query_blocks
from trainer.retrieval.two_towers import TwoTowers
from trainer.training.stage import AnyStage, StageContext

# Queries on which an index is tuned and measured.
_NUM_HELD_OUT_QUERIES = 2000


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """What is exported, from where and how."""

    context: StageContext
    """Schema, dataset and the run whose models are exported."""
    stages: Mapping[StageName, AnyStage]
    """The run's stages, by name."""
    workdir: Workdir
    """Where the SavedModels go."""
    index: IndexConfig
    """The index over the items."""
    export: ExportConfig
    """Which models, and how."""
    catalogue: DatasetLayout | None = None
    """Items to index instead of those that the models were trained on."""
    progress: Callable[[str], None] = field(default=lambda message: None, repr=False)
    """Called with one line about each step."""


class Assembly:
    """Trained models and everything around them, restored when first asked for."""

    def __init__(self, job: ExportJob) -> None:
        """Assembles for one job."""
        self.job = job

    def retrieval(self, model: ModelName) -> tuple[RetrievalServable, BuiltIndex]:
        """`retrieval` with the index of the configuration, `retrieval_exact` with stock operations only."""
        return self._retrieval(model, self._towers)

    def _retrieval(self, model: ModelName, towers: Towers) -> tuple[RetrievalServable, BuiltIndex]:
        built = self._exact_index if model == "retrieval_exact" else self._index
        retriever = Retriever(
            built.index,
            self.item_ids,
            self._attributes,
            max_filtered_candidates=self.job.index.max_filtered_candidates,
            seed=self.job.context.seed,
        )
        return RetrievalServable(self.encoder, self.query, towers, retriever, self.job.export.retrieval_k), built

    def ranking(self) -> RankingServable:
        """`ranking`."""
        ranker = ranker_of(self._trained_ranking.model)
        items = ItemFeatures(self.encoder, self.candidates, ItemIds(self.item_ids))
        return RankingServable(self.encoder, self.query, ranker, items)

    @property
    def exclude_seen(self) -> bool:
        """Whether items of the history are left out where a request does not say."""
        return self._list_ranking.retrieval.evaluation.exclude_seen

    def recommender(self) -> tuple[RecommenderServable, BuiltIndex]:
        """`recommender`: both stages."""
        retrieval, built = self._retrieval("retrieval", self._towers)
        order = self._order()
        histories = self._longer_histories(self._list_ranking.config.history) if isinstance(order, ListOrder) else None
        rules = ListRules(
            new_items=self._new_items(retrieval.retriever, order),
            caps=make_caps(self._attributes.categorical, self.job.export.reranker.caps),
            earlier=self._earlier_items(histories, retrieval.retriever.item_ids),
        )
        config = self._cascade_config()
        return RecommenderServable(
            retrieval, order, config, rules, exclude_seen=self.exclude_seen, histories=histories
        ), built

    def _new_items(self, retriever: Retriever, order: Order) -> NewItems:
        item_id = self.job.context.schema.item_id
        first_index = self.encoder.lookup(item_id).vocabulary.first_token_index
        is_new = self.candidates.without_events(item_id, first_index)
        return NewItems(retriever, is_new, self._trained.model.config.loss.temperature, self._kept(order))

    def _kept(self, order: Order) -> KeptCandidates | None:
        """What is kept for new items where a list ranker orders the candidates; retrieval's order goes without."""
        number = self._list_ranking.config.num_new_candidates
        if not isinstance(order, ListOrder) or not number:
            return None
        return KeptCandidates(number=number, log_events=order.features.columns()[LOG_EVENTS])

    def _cascade_config(self) -> ExportConfig:
        """The export's settings; a list ranker is given as many candidates as it was trained and evaluated on."""
        export, ranker = self.job.export, self._list_ranking.config
        if not ranker.enabled:
            return export
        return replace(export, recommender_candidates=max(ranker.candidates, export.recommender_limit))

    def _order(self) -> Order:
        """The second stage: the list ranker where there is one, and retrieval's order where that is better."""
        temperature, stage = self._trained.model.config.loss.temperature, self._list_ranking
        if not stage.config.enabled:
            return RankingOrder(self.ranking(), temperature)
        trained = restore(self.job.context, stage, self._dataset).model
        decided = verdict(read_manifest(self.job.context.run.stage(stage.name).manifest, "run").metrics)
        if not decided.ranks:
            self.job.progress(f"recommender: retrieval's own order: {decided.reason}")
            return RetrievalOrder(temperature)
        catalogue = EncodedDataset(encoder=self.encoder, candidates=self.candidates)
        features = stage.served_features(self.job.context, catalogue, self._trained.model, known=SPLITS)
        return ListOrder(features.stored_in(self.job.export.ranker_precision), trained, stage.config.history)

    @property
    def _list_ranking(self) -> ListRankingStage:
        stage = self.job.stages["list_ranking"]
        assert isinstance(stage, ListRankingStage)
        return stage

    @cached_property
    def query(self) -> QueryInputs:
        """The query side, the same for every model."""
        enabled = self.job.export.lookup_history
        histories = user_histories(self.encoder, self._events(), self._known_ids, enabled)
        return QueryInputs(self.job.context.schema, histories)

    def _longer_histories(self, length: int) -> StoredHistories | None:
        enabled = self.job.export.lookup_history
        return stored_histories(self.encoder, self._events(), self._known_ids, enabled, length=length)

    def _earlier_items(self, histories: StoredHistories | None, item_ids: ItemIds) -> EarlierItems | None:
        """Items of events older than the stored histories, by user; None if `export.lookup_history` is off."""
        stored = histories or self.query.histories
        if stored is None:
            return None
        items = earlier_items(self.encoder, self._events(), stored.length)
        return EarlierItems(items, stored.first_user, self._known_ids, item_ids)

    @property
    def _known_ids(self) -> list[bytes]:
        # Items that have left the catalogue still say what their users like.
        return _ids(self._dataset.candidates)

    def _events(self) -> Iterator[EncodedEvents]:
        return chain.from_iterable(self._dataset.blocks(split, records="retrieval") for split in self._splits)

    @cached_property
    def _dataset(self) -> EncodedDataset:
        """What all models share: the encoder, and the catalogue that they were trained on."""
        return encode_dataset(self.job.context.schema, self.job.context.dataset)

    @cached_property
    def _trained(self) -> Trained[TwoTowers]:
        return restore(self.job.context, self.job.stages["retrieval"], self._dataset)

    @cached_property
    def _trained_ranking(self) -> Trained[RankingModel]:
        trained: Trained[RankingModel] = restore(self.job.context, self.job.stages["ranking"], self._dataset)
        if self.job.export.ranker_precision != "float32":
            trained.model.store_in(self.job.export.ranker_precision)
        return trained

    def query_embedder(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """A function from the required input `[n]` of requests that give nothing else to vectors `[n, d] float32`."""
        # Restored here: a checkpoint cannot be read while a graph is traced.
        query, towers, encoder = self.query, self._towers, self.encoder

        def embed(required: tf.Tensor) -> tf.Tensor:
            request = {
                name: required if entry.default is None else entry.default for name, entry in query.inputs().items()
            }
            return towers.embed_query(query.encode(request, encoder))

        return embed

    @property
    def encoder(self) -> SchemaEncoder:
        """Raw features to encoded ones."""
        return self._dataset.encoder

    @cached_property
    def candidates(self) -> EncodedCatalogue:
        """The catalogue that is indexed."""
        if self.job.catalogue is None:
            return self._dataset.candidates
        return load_catalogue(self.job.catalogue, self.encoder)

    @cached_property
    def item_ids(self) -> list[bytes]:
        """The catalogue, in the order of the candidates."""
        return _ids(self.candidates)

    @cached_property
    def user_ids(self) -> list[bytes]:
        """The users with an embedding; one unknown user where the schema has no user id."""
        if self.job.context.schema.user_id not in {feature.name for feature in self.job.context.schema.query}:
            return [b""]
        return [token.encode() for token in self.encoder.lookup(self.job.context.schema.user_id).vocabulary.tokens] or [
            b""
        ]

    @cached_property
    def _attributes(self) -> ItemAttributes:
        """What requests can filter by."""
        schema = self.job.context.schema
        raw = read_raw_candidates(schema, self.job.catalogue or self.job.context.dataset)
        categorical: dict[str, Sequence[Sequence[bytes]]] = {}
        numeric: dict[str, npt.NDArray[np.float32]] = {}
        for feature in schema.candidate:
            if feature.filter_by == "values":
                values = raw[feature.name]
                categorical[feature.name] = list(values) if feature.is_list else [[value] for value in values]
            elif feature.filter_by == "range":
                numeric[feature.name] = np.asarray(raw[feature.name], np.float32)
        return ItemAttributes(categorical=categorical, numeric=numeric)

    @property
    def _splits(self) -> list[Path]:
        return [self.job.context.dataset.interactions(split) for split in SPLITS]

    @cached_property
    def _towers(self) -> Towers:
        model = self._trained.model
        return Towers(
            embed_query=model.query_tower,
            embed_candidate=model.candidate_tower,
            variables=model.variables,
            repeats=model.repeats_in if model.config.repeat else None,
        )

    @cached_property
    def vectors(self) -> npt.NDArray[np.float32]:
        """`[items, d] float32`: the catalogue's embeddings."""
        vectors: npt.NDArray[np.float32] = self._trained.model.embed_candidates(self.candidates).numpy()
        return vectors

    @cached_property
    def _held_out_queries(self) -> npt.NDArray[np.float32] | None:
        """Vectors of queries as they will come in serving: of the test split's users, or the validation's."""
        dataset, seed = self._dataset, self.job.context.seed
        for split in reversed(self._splits[1:]):
            events, chosen = sample_targets(split, dataset, _NUM_HELD_OUT_QUERIES, seed)
            if len(chosen) >= 2:
                blocks = query_blocks(events, self.job.context.schema, chosen)
                # The events' rows are those of the catalogue that was trained on, which a refresh may have shortened.
                vectors, _ = embed_queries(self._trained.model, blocks, len(dataset.candidates))
                return vectors
        return None

    @cached_property
    def _index(self) -> BuiltIndex:
        return self._build(self.job.index)

    @cached_property
    def _exact_index(self) -> BuiltIndex:
        return self._build(ExactConfig(tuned_k=self.job.index.tuned_k))

    def _build(self, config: IndexConfig) -> BuiltIndex:
        built = build_index(self.vectors, config, held_out_queries=self._held_out_queries, seed=self.job.context.seed)
        report = built.report
        self.job.progress(
            f"index {report.kind}: {report.num_items:,} items, recall@{report.tuned_k} {report.recall:.3f}, "
            f"built in {report.build_seconds + report.tuning_seconds:.1f} s"
        )
        return built


def ranker_of(model: RankingModel) -> Ranker:
    """A ranking model as plain functions; its first task ranks the cascade."""
    first = model.heads[0]
    return Ranker(
        score=model.call,
        predictions=model.predictions,
        log_chance=lambda scores: first.log_chance(first.calibrated(scores[first.task_name])),
        explain=lambda pairs: explain_pairs(model, pairs),
        explained=explained_features(model),
        variables=model.variables,
    )


def _ids(candidates: EncodedCatalogue) -> list[bytes]:
    return list(candidates.item_ids.numpy().tolist())
