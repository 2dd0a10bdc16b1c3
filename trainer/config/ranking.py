"""What a user chooses about the ranking model and its training. Imports no TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from features.errors import ConfigError
from features.kinds import Kinds
from features.schema import Schema
from features.spec.tasks import TaskType
from trainer.config.calibration import CALIBRATIONS, AutoCalibrationConfig, CalibrationConfig
from trainer.config.encoders import EncoderConfig, TransformerConfig
from trainer.config.tables import TableConfig, require_tables
from trainer.config.training import OptimizerConfig, check_training, require


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """What every network has: the layers between the features' embeddings and the tasks' heads."""

    reads_history: ClassVar[bool] = False
    """Whether the network needs a schema with a history."""

    hidden: tuple[int, ...] = (64,)
    """Widths of the dense layers."""
    dropout: float = 0.2
    """Share of the components of the embeddings that are zeroed in training."""

    def __post_init__(self) -> None:
        require("network", self, "hidden", all(width >= 1 for width in self.hidden), "widths of at least 1")
        require("network", self, "dropout", 0 <= self.dropout < 1, "a share in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class DCNConfig(NetworkConfig):
    """Cross layers beside the dense layers."""

    cross_layers: int = 2
    """Cross layers; n of them model interactions of up to n + 1 features."""
    cross_rank: int = 32
    """Rank of the cross layers' matrices (Eq. 2 of the paper); 0 takes full matrices (Eq. 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("cross_layers", "cross_rank"):
            require("network", self, name, getattr(self, name) >= 0, "at least 0")


@dataclass(frozen=True, kw_only=True)
class MLPConfig(NetworkConfig):
    """Dense layers alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("network", self, "hidden", len(self.hidden) > 0, "at least one layer; without any, nothing interacts")


@dataclass(frozen=True, kw_only=True)
class DLRMConfig(NetworkConfig):
    """Inner products of all pairs of embeddings, and dense layers over these and the embeddings."""


@dataclass(frozen=True, kw_only=True)
class DINConfig(NetworkConfig):
    """Attention over the items of the history by the item to be scored, and dense layers."""

    reads_history = True

    attention: int = 36
    """Width of the layer that weighs an item of the history."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("network", self, "attention", self.attention >= 1, "a width of at least 1")


@dataclass(frozen=True, kw_only=True)
class SequenceConfig(NetworkConfig):
    """An encoder over the history, once a query, attention of each candidate to what it says, and dense layers."""

    reads_history = True

    encoder: EncoderConfig = field(default_factory=TransformerConfig)
    """How the history is encoded; its heads divide `ranking.dimension`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            "network", self, "encoder", not self.encoder.side_features, "side_features = false: items are told by id"
        )


NETWORKS = Kinds(
    NetworkConfig,
    {
        "dcn": (DCNConfig, "trainer.ranking.networks.dcn:DCN"),
        "mlp": (MLPConfig, "trainer.ranking.networks.mlp:MLP"),
        "dlrm": (DLRMConfig, "trainer.ranking.networks.dlrm:DLRM"),
        "din": (DINConfig, "trainer.ranking.networks.din:DIN"),
        "sequence": (SequenceConfig, "trainer.ranking.networks.sequence:Sequence"),
    },
    default="dcn",
)


@dataclass(frozen=True, kw_only=True)
class MultiTaskConfig:
    """What every way of sharing between tasks has."""

    tower: tuple[int, ...] = ()
    """Widths of the dense layers that each task has of its own, over what is shared."""

    def __post_init__(self) -> None:
        require("multi_task", self, "tower", all(width >= 1 for width in self.tower), "widths of at least 1")


@dataclass(frozen=True, kw_only=True)
class SharedBottomConfig(MultiTaskConfig):
    """One network for all tasks."""


@dataclass(frozen=True, kw_only=True)
class MMoEConfig(MultiTaskConfig):
    """Several networks, the experts, which each task mixes by a gate of its own."""

    experts: int = 4
    """Networks of the configured kind; each costs as much as the one of a shared bottom."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("multi_task", self, "experts", self.experts >= 2, "at least 2; one alone is a shared bottom")


MULTI_TASKS = Kinds(
    MultiTaskConfig,
    {
        "shared_bottom": (SharedBottomConfig, "trainer.ranking.multi_task.shared_bottom:SharedBottom"),
        "mmoe": (MMoEConfig, "trainer.ranking.multi_task.mmoe:MMoE"),
    },
    default="shared_bottom",
)


@dataclass(frozen=True, kw_only=True)
class RankingLossConfig:
    """What a task's scores are judged by in training."""

    task_type: ClassVar[TaskType]
    """Type of the tasks that the loss suits."""


@dataclass(frozen=True, kw_only=True)
class LogisticConfig(RankingLossConfig):
    """Cross-entropy of the label and the predicted chance, of binary tasks."""

    task_type = "binary"


@dataclass(frozen=True, kw_only=True)
class SquaredConfig(RankingLossConfig):
    """Squared error in units of the label's variance, of regression tasks."""

    task_type = "regression"


RANKING_LOSSES = Kinds(
    RankingLossConfig,
    {
        "logistic": (LogisticConfig, "trainer.ranking.losses.logistic:LogisticLoss"),
        "squared": (SquaredConfig, "trainer.ranking.losses.squared:SquaredLoss"),
    },
)

_DEFAULT_LOSSES: Mapping[TaskType, RankingLossConfig] = {"binary": LogisticConfig(), "regression": SquaredConfig()}


@dataclass(frozen=True, kw_only=True)
class TaskTraining:
    """How one task is trained."""

    loss: RankingLossConfig | None = None
    """What its scores are judged by, `kind = "logistic"` or `"squared"`; none: the former for a binary task, the latter
    for a regression."""
    weight: float = 1.0
    """What the task's loss counts beside the losses of the other tasks."""
    calibration: CalibrationConfig | None = None
    """How a binary task's chances are corrected after the training; without a table of its own, `auto`."""

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ConfigError(".weight", self.weight, "above 0; leave the task out of the schema to train without it")

    def loss_of(self, task_type: TaskType) -> RankingLossConfig:
        """The loss of a task of the given type."""
        return self.loss or _DEFAULT_LOSSES[task_type]

    @property
    def chosen_calibration(self) -> CalibrationConfig:
        """The calibration of a binary task."""
        return self.calibration or AutoCalibrationConfig()


@dataclass(frozen=True, kw_only=True)
class RankingConfig:
    """The ranking model and its training.

    RankingConfig(network=MLPConfig(hidden=(64, 32)))          # another network
    RankingConfig(task={"rating": TaskTraining(weight=0.5)})  # a task that counts half
    """

    MOVED: ClassVar[Mapping[str, str]] = {
        name: f"ranking.network.{name}" for name in ("cross_layers", "cross_rank", "hidden", "dropout")
    }

    dimension: int = 16
    """Components of each feature's embedding."""
    embedding: Mapping[str, TableConfig] = field(default_factory=dict)
    """How the embeddings of a feature's values are stored, by the name of the feature, as for retrieval."""
    network: NetworkConfig = field(default_factory=DCNConfig)
    """What lies between the embeddings and the heads: `dcn` multiplies features, `dlrm` takes inner
    products of their embeddings, `din` looks at the items of the history one by one, `sequence` at their order too,
    `mlp` is the plainest."""
    multi_task: MultiTaskConfig = field(default_factory=SharedBottomConfig)
    """How tasks share networks: `shared_bottom` has one for all, `mmoe` several, mixed for each task."""
    members: int = 1
    """Models whose mean score counts, each with embeddings and a network of its own; several predict better than one of
    any size, for as many times the training and the memory."""
    task: Mapping[str, TaskTraining] = field(default_factory=dict)
    """Loss and weight by the name of a task; a task that is not named here has the defaults."""
    embedding_decay: float = 1e-4
    """L2 penalty on the embeddings of each example; larger where examples are few."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How the weights follow the gradient."""
    batch_size: int = 1024
    """Examples a step, over all replicas together."""
    epochs: int = 10
    """Passes over the training split."""
    patience: int = 3
    """Epochs without a better validation loss after which the training ends; 0 never ends it early."""
    checkpoint_seconds: float = 300.0
    """Seconds between checkpoints within an epoch; one more follows each epoch."""

    def __post_init__(self) -> None:
        require("ranking", self, "embedding_decay", self.embedding_decay >= 0, "at least 0")
        for name in ("dimension", "members"):
            require("ranking", self, name, getattr(self, name) >= 1, "a whole number of at least 1")
        if isinstance(self.network, SequenceConfig):
            divisor = self.network.encoder.dimension_divisor
            expected = f"a multiple of {divisor}, as ranking.network.encoder needs it"
            require("ranking", self, "dimension", self.dimension % divisor == 0, expected)
        check_training("ranking", self)

    def training_of(self, name: str) -> TaskTraining:
        """How the task of the given name is trained."""
        return self.task.get(name, TaskTraining())


def require_tasks(config: RankingConfig, schema: Schema) -> None:
    """Refuses options of tasks and tables that the schema does not have, and kinds that do not suit them.

    Raises:
        ConfigError: there is such an option, loss or calibration, or the network reads a history that the schema lacks.
    """
    if config.network.reads_history and schema.history is None:
        kind = NETWORKS.name_of(config.network)
        expected = f"a feature of kind 'history' in [[features.query]], which {kind} reads; or another kind of network"
        raise ConfigError("ranking.network.kind", kind, expected)
    require_tables("ranking.embedding", config.embedding, schema)
    types = {task.name: task.type for task in schema.task}
    for name, training in config.task.items():
        if name not in types:
            raise ConfigError(f"ranking.task.{name}", name, f"a task of [[features.task]]: {', '.join(types)}")
        loss = training.loss_of(types[name])
        if loss.task_type != types[name]:
            fitting = [k for k in RANKING_LOSSES.names if RANKING_LOSSES.options(k).task_type == types[name]]
            kind = RANKING_LOSSES.name_of(loss)
            expected = f"a loss of {types[name]} tasks: {', '.join(fitting)}"
            raise ConfigError(f"ranking.task.{name}.loss.kind", kind, expected)
        if training.calibration is not None and types[name] != "binary":
            kind = CALIBRATIONS.name_of(training.calibration)
            raise ConfigError(
                f"ranking.task.{name}.calibration.kind", kind, "none: it corrects chances of binary tasks"
            )
