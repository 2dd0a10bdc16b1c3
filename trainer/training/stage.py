"""What a stage is: a model, what it is trained on and how it is judged, described as data for `train_stage`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeAlias, TypeVar

import tensorflow_recommenders as tfrs

from features.disk.layout import DatasetLayout, RunLayout, StageName
from features.schema import Schema
from trainer.config.training import TrainableConfig, TrainingConfig
from trainer.data.batches import EpochPlan
from trainer.data.encoded_dataset import EncodedDataset
from trainer.training.cluster import Cluster
from trainer.training.progress import Metrics, ProgressCallback, Report, silent, unreported

ConfigT = TypeVar("ConfigT", bound=TrainableConfig)
EventsT = TypeVar("EventsT")
ModelT = TypeVar("ModelT", bound=tfrs.Model)
TrainedT = TypeVar("TrainedT")


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """What all stages of a run share."""

    schema: Schema
    """Schema of the dataset."""
    dataset: DatasetLayout
    """Written by `recstack prepare`."""
    run: RunLayout
    """Where the stages' results go."""
    start_from: RunLayout | None = None
    """Former run whose weights the training starts from; None starts from chance."""
    seed: int = 0
    """Seed of initial weights, order and dropout."""
    cluster: Cluster = field(default_factory=Cluster)
    """The processes and devices that train together."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """How all stages train."""
    events: Path | None = None
    """Directory of this process for the encoded events of the stage, if they are streamed; None: in memory."""
    progress: ProgressCallback = field(default=silent, repr=False)
    """Called about once a second while a stage is trained."""
    report: Report = field(default=unreported, repr=False)
    """Told in one line what a person should know."""
    profile: bool = False
    """Whether a few steps are traced for TensorBoard."""
    saves_when_stopped: bool = False
    """Whether SIGTERM saves before it ends the training, with `StoppedError`, if the program does not handle it."""


@dataclass(frozen=True, kw_only=True)
class Stage(ABC, Generic[ConfigT, EventsT, ModelT, TrainedT]):
    """One stage of a recommender: how its model, its examples and its validation are made.

    A subclass names its types: the configuration's node, the events in memory, the model in training and
    what is used of it afterwards.
    """

    name: ClassVar[StageName]
    """The directory of the run that it writes."""
    objective: ClassVar[str]
    """The metric that decides which epoch's model is kept."""
    maximise: ClassVar[bool]
    """Whether more of the objective is better."""
    can_start_from: ClassVar[bool] = True
    """Whether a training may start from the weights of a former run."""

    can_stream: ClassVar[bool] = False
    """Whether there is a way to train it on events from disk."""

    config: ConfigT
    """Its node of the configuration."""

    def require(self, schema: Schema) -> None:
        """Refuses a schema that the configuration cannot be trained on.

        Raises:
            ConfigError: a field of the configuration asks for a feature that the schema does not have.
        """

    def inputs(self) -> Mapping[str, str]:
        """What the result depends on beside the dataset, the configuration and the seed."""
        return {}

    def streaming_obstacle(self) -> str:
        """Why this configuration of it needs all events in memory, and what to change; empty if it does not."""
        return ""

    def for_weights(self) -> "Self":
        """The stage without what its model holds beside the weights that are trained, so that those of any run fit."""
        return self

    @abstractmethod
    def load_events(self, context: StageContext, dataset: EncodedDataset) -> EventsT:
        """Loads what the model is trained on.

        Raises:
            InputError: the training split is missing, damaged or not what the model can learn from.
        """

    @abstractmethod
    def make_examples(self, events: EventsT, context: StageContext) -> EpochPlan:
        """Turns the events into training examples.

        Raises:
            InputError: there are none.
        """

    @abstractmethod
    def make_model(self, dataset: EncodedDataset, events: EventsT | None, seed: int) -> ModelT:
        """Creates every weight; called within the strategy's scope.

        Args:
            dataset: encoder and catalogue.
            events: what the model is going to be trained on, which its weights may start from; None where the
                weights of a finished run replace the initial ones.
            seed: Seed of the initial weights.
        """

    @abstractmethod
    def make_validation(self, context: StageContext, dataset: EncodedDataset) -> Callable[[ModelT], Metrics] | None:
        """Makes the function that measures the model after each epoch; None without validation data."""

    @abstractmethod
    def trained(self, model: ModelT) -> TrainedT:
        """Returns what is used of the model once its weights are final."""


AnyStage: TypeAlias = Stage[Any, Any, Any, Any]
