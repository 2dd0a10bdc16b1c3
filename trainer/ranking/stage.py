"""The ranking stage: a model of how users answer to items, one task or several."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from features.disk.layout import DatasetLayout, Split, StageName
from features.disk.shards import shards
from features.errors import InputError
from features.schema import Schema
from trainer.config.ranking import RankingConfig, require_tasks
from trainer.data.batches import EpochPlan, Examples, Gather, plan_batches
from trainer.data.encoded_dataset import EncodedDataset
from trainer.data.events import EncodedEvents, load_events
from trainer.data.labelled_pairs import LabelledPairs, LabelMoments, label_moments, logged_pairs, pair_examples
from trainer.data.sampling import sample_events
from trainer.data.stored_events import StoredEvents
from trainer.data.streaming import ExamplesOf
from trainer.ranking.model import RankingModel
from trainer.ranking.validation import LOSS, RankingValidation
from trainer.training.stage import Stage, StageContext
from trainer.training.streaming import open_events, plan_stream

# Validation users of a training whose events are streamed, at most.
_VALIDATION_RECORDS = 20_000


@dataclass(frozen=True, kw_only=True)
class PairsOfEvents:
    """Labelled pairs and the events that give their queries."""

    events: EncodedEvents
    pairs: LabelledPairs

    def examples(self, schema: Schema) -> Gather:
        """One example a pair, by its number."""
        return pair_examples(self.events, self.pairs, schema)

    def label_moments(self) -> tuple[LabelMoments, ...]:
        """Moments of each task's labels."""
        return self.pairs.label_moments()


@dataclass(frozen=True, kw_only=True)
class StoredPairs:
    """Labelled events on disk, each paired with its own item."""

    stored: StoredEvents
    moments: tuple[LabelMoments, ...]

    def label_moments(self) -> tuple[LabelMoments, ...]:
        """Moments of each task's labels, the same for all workers."""
        return self.moments


@dataclass(frozen=True, kw_only=True)
class RankingStage(Stage[RankingConfig, PairsOfEvents | StoredPairs, RankingModel, RankingModel]):
    """Trains the ranking model on labelled pairs and keeps the epoch with the least validation loss.

    RankingStage(config=RankingConfig(dimension=8))
    """

    name: ClassVar[StageName] = "ranking"
    objective: ClassVar[str] = LOSS
    maximise: ClassVar[bool] = False
    can_stream: ClassVar[bool] = True

    def require(self, schema: Schema) -> None:
        """Refuses losses that do not suit the schema's tasks."""
        require_tasks(self.config, schema)

    def load_events(self, context: StageContext, dataset: EncodedDataset) -> PairsOfEvents | StoredPairs:
        """The labelled events of the training split, each paired with its own item; on disk if they are streamed."""
        if context.events is not None:
            return _open_pairs(context, dataset)
        loaded = _load_pairs(context, dataset, "train")
        _require_probabilities([loaded.pairs], context.schema, context.dataset)
        return loaded

    def make_examples(self, events: PairsOfEvents | StoredPairs, context: StageContext) -> EpochPlan:
        """One example per pair."""
        if isinstance(events, StoredPairs):
            batch_size = self.config.batch_size
            return plan_stream(events.stored, _examples_of(context.schema), batch_size=batch_size, context=context)
        return plan_batches(
            np.arange(len(events.pairs)),
            events.examples(context.schema),
            batch_size=self.config.batch_size,
            replicas=context.cluster.num_replicas,
            seed=context.seed,
        )

    def make_model(
        self, dataset: EncodedDataset, events: PairsOfEvents | StoredPairs | None, seed: int
    ) -> RankingModel:
        """The model, whose predictions start from the mean labels."""
        moments = () if events is None else events.label_moments()
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
    rows, directory = dataset.candidates.rows(), context.dataset.ranking(split)
    if context.events is None:
        events = load_events(directory, dataset.encoder, rows, records="ranking")
    else:
        events = sample_events(
            directory,
            dataset.encoder,
            rows,
            records="ranking",
            num_records=_VALIDATION_RECORDS,
            seed=context.seed,
        )
    return PairsOfEvents(events=events, pairs=logged_pairs(events))


def _open_pairs(context: StageContext, dataset: EncodedDataset) -> StoredPairs:
    stored = open_events(context, dataset, records="ranking")

    def blocks() -> Iterator[LabelledPairs]:
        for chunks in stored.blocks(context.training.block_events):
            yield logged_pairs(stored.read(chunks))

    _require_probabilities(blocks(), context.schema, context.dataset)
    moments = label_moments(blocks())
    agreed = [context.cluster.agree(asdict(of_task)) for of_task in moments]
    return StoredPairs(stored=stored, moments=tuple(LabelMoments(**of_task) for of_task in agreed))


def _examples_of(schema: Schema) -> ExamplesOf:
    def examples_of(events: EncodedEvents) -> Examples:
        pairs = logged_pairs(events)
        return Examples(
            indices=np.arange(len(pairs)),
            records=events.record_of_event()[pairs.event],
            gather=lambda: pair_examples(events, pairs, schema),
        )

    return examples_of


def _require_probabilities(parts: Iterable[LabelledPairs], schema: Schema, dataset: DatasetLayout) -> None:
    """Refuses labels of binary tasks outside 0 to 1: with raw ratings the loss would silently be meaningless."""
    for pairs in parts:
        for place, task in enumerate(schema.task):
            labels = pairs.labels[:, place]
            outside = labels[(labels < 0) | (labels > 1)] if task.type == "binary" else labels[:0]
            if len(outside):
                raise _no_probability(outside[0], task.name, dataset)


def _no_probability(label: np.float32, task: str, dataset: DatasetLayout) -> InputError:
    return InputError(
        f"{dataset.ranking('train')}: label {label:g} of task {task!r} found, expected 0 to 1: the model predicts the "
        'chance of a label of 1; set pipeline.label.ranking_label = "threshold", or give the task `type = '
        '"regression"`, and run `recstack prepare` again'
    )
