"""The ranking stage: a model of how likely a user's answer to an item is positive."""

from dataclasses import dataclass
from typing import ClassVar

from features.disk.layout import DatasetLayout, StageName, shards
from features.errors import InputError
from trainer.config.ranking import RankingConfig
from trainer.data.batches import BatchPlan, plan_batches, ranking_examples
from trainer.data.encoded_dataset import EncodedDataset
from trainer.data.events import EncodedEvents, load_events
from trainer.ranking.model import RankingModel
from trainer.ranking.validation import LOG_LOSS, RankingValidation
from trainer.training.stage import Stage, StageContext

# What a restored model starts from before its weights are loaded; any share does.
_NO_LABELS = 0.5


@dataclass(frozen=True, kw_only=True)
class RankingStage(Stage[RankingConfig, EncodedEvents, RankingModel, RankingModel]):
    """Trains the ranking model on the labelled events and keeps the epoch with the least log loss.

    RankingStage(config=RankingConfig(dimension=8))
    """

    name: ClassVar[StageName] = "ranking"
    objective: ClassVar[str] = LOG_LOSS
    maximise: ClassVar[bool] = False

    def load_events(self, context: StageContext, dataset: EncodedDataset) -> EncodedEvents:
        """The labelled events of the training split."""
        rows = dataset.candidates.rows()
        events = load_events(context.dataset.ranking("train"), dataset.encoder, rows, ranking=True)
        _require_probabilities(events, context.dataset)
        return events

    def make_examples(self, events: EncodedEvents, context: StageContext) -> BatchPlan:
        """One example per labelled event."""
        return plan_batches(
            events.targets(),
            ranking_examples(events, context.schema),
            batch_size=self.config.batch_size,
            replicas=context.cluster.num_replicas,
            seed=context.seed,
        )

    def make_model(self, dataset: EncodedDataset, events: EncodedEvents | None, seed: int) -> RankingModel:
        """The model, which starts from the share of positive labels."""
        label_mean = _NO_LABELS if events is None else events.label_mean()
        return RankingModel(self.config, dataset.encoder, dataset.candidates, seed=seed, label_mean=label_mean)

    def make_validation(self, context: StageContext, dataset: EncodedDataset) -> RankingValidation | None:
        """Predicts the labelled events of the validation split."""
        directory = context.dataset.ranking("validation")
        if not shards(directory):
            return None
        events = load_events(directory, dataset.encoder, dataset.candidates.rows(), ranking=True)
        targets = events.targets()
        if len(targets) == 0:
            return None
        return RankingValidation(ranking_examples(events, context.schema), targets, dataset.candidates)

    def trained(self, model: RankingModel) -> RankingModel:
        """The model itself."""
        return model


def _require_probabilities(events: EncodedEvents, dataset: DatasetLayout) -> None:
    """Refuses labels that are no probabilities: with raw ratings the loss would silently be meaningless."""
    targets = events.label[events.targets()]
    outside = targets[(targets < 0) | (targets > 1)]
    if len(outside):
        raise InputError(
            f"{dataset.ranking('train')}: label {outside[0]:g} found, expected 0 to 1: the model predicts the chance "
            'of a label of 1; set pipeline.label.ranking_label = "threshold" and run `recstack prepare` again'
        )
