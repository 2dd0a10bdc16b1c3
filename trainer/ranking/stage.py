"""The ranking stage: a model of how users answer to items, one task or several."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from features.disk.layout import DatasetLayout, Split, StageName, shards
from features.errors import InputError
from features.schema import Schema
from trainer.config.ranking import RankingConfig, require_tasks
from trainer.data.batches import BatchPlan, Gather, plan_batches
from trainer.data.encoded_dataset import EncodedDataset
from trainer.data.events import EncodedEvents, load_events
from trainer.data.labelled_pairs import LabelledPairs, logged_pairs, pair_examples
from trainer.ranking.model import RankingModel
from trainer.ranking.validation import LOSS, RankingValidation
from trainer.training.stage import Stage, StageContext


@dataclass(frozen=True, kw_only=True)
class PairsOfEvents:
    """Labelled pairs and the events that give their queries."""

    events: EncodedEvents
    pairs: LabelledPairs

    def examples(self, schema: Schema) -> Gather:
        """One example a pair, by its number."""
        return pair_examples(self.events, self.pairs, schema)


@dataclass(frozen=True, kw_only=True)
class RankingStage(Stage[RankingConfig, PairsOfEvents, RankingModel, RankingModel]):
    """Trains the ranking model on labelled pairs and keeps the epoch with the least validation loss.

    RankingStage(config=RankingConfig(dimension=8))
    """

    name: ClassVar[StageName] = "ranking"
    objective: ClassVar[str] = LOSS
    maximise: ClassVar[bool] = False

    def require(self, schema: Schema) -> None:
        """Refuses losses that do not suit the schema's tasks."""
        require_tasks(self.config, schema)

    def load_events(self, context: StageContext, dataset: EncodedDataset) -> PairsOfEvents:
        """The labelled events of the training split, each paired with its own item."""
        loaded = _load_pairs(context, dataset, "train")
        _require_probabilities(loaded.pairs, context.schema, context.dataset)
        return loaded

    def make_examples(self, events: PairsOfEvents, context: StageContext) -> BatchPlan:
        """One example per pair."""
        return plan_batches(
            np.arange(len(events.pairs)),
            events.examples(context.schema),
            batch_size=self.config.batch_size,
            replicas=context.cluster.num_replicas,
            seed=context.seed,
        )

    def make_model(self, dataset: EncodedDataset, events: PairsOfEvents | None, seed: int) -> RankingModel:
        """The model, whose predictions start from the mean labels."""
        moments = () if events is None else events.pairs.label_moments()
        return RankingModel(self.config, dataset.encoder, dataset.candidates, seed=seed, label_moments=moments)

    def make_validation(self, context: StageContext, dataset: EncodedDataset) -> RankingValidation | None:
        """Predicts the labelled events of the validation split."""
        if not shards(context.dataset.ranking("validation")):
            return None
        loaded = _load_pairs(context, dataset, "validation")
        if len(loaded.pairs) == 0:
            return None
        return RankingValidation(loaded.examples(context.schema), loaded.pairs, dataset.candidates)

    def trained(self, model: RankingModel) -> RankingModel:
        """The model itself."""
        return model


def _load_pairs(context: StageContext, dataset: EncodedDataset, split: Split) -> PairsOfEvents:
    rows = dataset.candidates.rows()
    events = load_events(context.dataset.ranking(split), dataset.encoder, rows, records="ranking")
    return PairsOfEvents(events=events, pairs=logged_pairs(events))


def _require_probabilities(pairs: LabelledPairs, schema: Schema, dataset: DatasetLayout) -> None:
    """Refuses labels of binary tasks outside 0 to 1: with raw ratings the loss would silently be meaningless."""
    for place, task in enumerate(schema.task):
        labels = pairs.labels[:, place]
        outside = labels[(labels < 0) | (labels > 1)] if task.type == "binary" else labels[:0]
        if len(outside):
            raise InputError(
                f"{dataset.ranking('train')}: label {outside[0]:g} of task {task.name!r} found, expected 0 to 1: the "
                'model predicts the chance of a label of 1; set pipeline.label.ranking_label = "threshold", or give '
                'the task `type = "regression"`, and run `recstack prepare` again'
            )
