"""The retrieval stage: a two-tower model of what each user takes next."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from features.disk.layout import StageName
from features.disk.shards import shards
from features.schema import Schema
from trainer.config.evaluation import EvaluationConfig
from trainer.config.retrieval import RetrievalConfig, require_features, streaming_obstacle
from trainer.data.batches import EpochPlan
from trainer.data.encoded_dataset import EncodedDataset
from trainer.data.events import EncodedEvents
from trainer.data.sampling import sample_events
from trainer.data.stored_events import StoredEvents
from trainer.retrieval.examples import make_examples
from trainer.retrieval.initialisation import initialise_items
from trainer.retrieval.model import TwoTowerModel
from trainer.retrieval.semantic_ids import fit_codes
from trainer.retrieval.similar_items import similar_items_for
from trainer.retrieval.two_towers import TwoTowers
from trainer.retrieval.validation import NDCG, RetrievalValidation
from trainer.training.progress import Metrics
from trainer.training.stage import Stage, StageContext
from trainer.training.streaming import open_events


@dataclass(frozen=True, kw_only=True)
class RetrievalStage(Stage[RetrievalConfig, EncodedEvents | StoredEvents, TwoTowerModel, TwoTowers]):
    """Trains the two-tower model on the interactions and keeps the epoch with the best NDCG.

    RetrievalStage(config=RetrievalConfig(dimension=32))
    """

    name: ClassVar[StageName] = "retrieval"
    objective: ClassVar[str] = NDCG
    maximise: ClassVar[bool] = True
    can_stream: ClassVar[bool] = True

    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """How the model is going to be judged: validation counts the same targets and leaves out the same items."""

    def require(self, schema: Schema) -> None:
        """Refuses what needs a feature that the schema does not have."""
        require_features(self.config, schema)

    def inputs(self) -> Mapping[str, str]:
        """How validation judges, which decides the epoch that is kept."""
        seen = "left out" if self.evaluation.exclude_seen else "ranked"
        return {"validation": f"targets {self.evaluation.targets}, seen items {seen}"}

    def for_weights(self) -> Self:
        """Without the shift of new items, which validation measures anew."""
        return replace(self, config=replace(self.config, new_item_cost=0.0))

    def streaming_obstacle(self) -> str:
        """An initialisation or similar items from all events."""
        return streaming_obstacle(self.config)

    def load_events(self, context: StageContext, dataset: EncodedDataset) -> EncodedEvents | StoredEvents:
        """The interactions of the training split, on disk if the training is streamed."""
        if context.events is not None:
            return open_events(context, dataset, records="retrieval")
        return self.events_in_memory(context, dataset)

    def events_in_memory(self, context: StageContext, dataset: EncodedDataset) -> EncodedEvents:
        """The interactions of the training split."""
        return dataset.events(context.dataset.interactions("train"), records="retrieval")

    def make_examples(self, events: EncodedEvents | StoredEvents, context: StageContext) -> EpochPlan:
        """Examples of the configured kind, older events weighing less if the configuration says so."""
        return make_examples(events, self.config, context)

    def make_model(
        self, dataset: EncodedDataset, events: EncodedEvents | StoredEvents | None, seed: int
    ) -> TwoTowerModel:
        """The model; the configuration may initialise its items from the events, and its codes from the catalogue."""
        in_memory = events if isinstance(events, EncodedEvents) else None
        similar = similar_items_for(self.config.augmentation, in_memory, dataset.encoder)
        model = TwoTowerModel(self.config, dataset.encoder, dataset.candidates, seed=seed, similar_items=similar)
        if isinstance(events, EncodedEvents):
            initialise_items(model, events, dataset.candidates, self.config, seed)
        if events is not None:
            fit_codes(model, dataset.encoder, dataset.candidates, seed)
        return model

    def make_validation(
        self, context: StageContext, dataset: EncodedDataset
    ) -> Callable[[TwoTowerModel], Metrics] | None:
        """Ranks the catalogue for a sample of the validation split's users."""
        directory = context.dataset.interactions("validation")
        if not shards(directory):
            return None
        events = self._validation_events(context, dataset)
        if len(events.targets()) == 0:
            return None
        validation = RetrievalValidation(
            events,
            dataset.encoder,
            dataset.candidates,
            self.evaluation,
            num_queries=self.config.validation_queries,
            seed=context.seed,
        )
        return lambda model: validation(model.towers)

    def _validation_events(self, context: StageContext, dataset: EncodedDataset) -> EncodedEvents:
        """Those of all users, or of the sample that is asked if the training is to hold no more in memory."""
        directory = context.dataset.interactions("validation")
        if context.events is None:
            return dataset.events(directory, records="retrieval")
        return sample_events(
            directory,
            dataset.encoder,
            dataset.candidates.rows(),
            records="retrieval",
            num_records=self.config.validation_queries,
            seed=context.seed,
        )

    def trained(self, model: TwoTowerModel) -> TwoTowers:
        """The towers, with the vectors of the items in histories computed once."""
        return model.towers.frozen()
