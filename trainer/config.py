"""What a user chooses about the models and their training. Imports no TensorFlow."""

import math
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from features.errors import ConfigError
from features.schema import Schema

StrategyName: TypeAlias = Literal["default", "mirrored"]
EncoderKind: TypeAlias = Literal["mean", "recency", "gru", "lstm", "cnn", "transformer"]
LossKind: TypeAlias = Literal["softmax", "bce", "gbce", "bpr"]
NegativesKind: TypeAlias = Literal["all", "uniform", "popular", "in_batch", "mixed", "cross_batch"]
Examples: TypeAlias = Literal["event", "basket", "sequence", "set"]

STRATEGY_NAMES: tuple[StrategyName, ...] = get_args(StrategyName)


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Adam's or Adagrad's learning rate over the training: a linear warm-up, then a cosine to zero or a constant."""

    kind: Literal["adam", "adagrad"] = "adam"
    """`adam` learns fast; `adagrad` keeps one number a weight instead of two."""
    learning_rate: float = 0.003
    """Largest learning rate."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What follows the warm-up; `cosine` ends at zero with the last epoch (https://arxiv.org/abs/1608.03983, Eq. 5)."""
    warmup_steps: int = 100
    """Steps over which the learning rate grows from zero; at most a tenth of the training is used."""

    def __post_init__(self) -> None:
        _require("optimizer", self, "learning_rate", 0 < self.learning_rate < math.inf, "a positive number")
        _require("optimizer", self, "warmup_steps", self.warmup_steps >= 0, "at least 0")


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """How the items of a history become one vector."""

    kind: EncoderKind = "mean"
    """`mean` ignores the order; `recency` learns what each place from the end weighs; `transformer` is the most
    accurate where the order tells; `gru`, `lstm` and `cnn` are for comparison."""
    layers: int = 1
    """Layers or attention blocks; `mean` and `recency` have none."""
    heads: int = 1
    """Attention heads of a `transformer`; they divide `retrieval.dimension`."""
    kernel_size: int = 3
    """Items that a convolution of a `cnn` looks at."""
    dropout: float = 0.0
    """Share of the components of the history's vector that are zeroed in training."""
    side_features: bool = False
    """Whether the items of a history are told by their side features too, as the candidates are."""

    def __post_init__(self) -> None:
        for name in ("layers", "heads", "kernel_size"):
            _require("encoder", self, name, getattr(self, name) >= 1, "a whole number of at least 1")
        _require("encoder", self, "dropout", 0 <= self.dropout < 1, "a share in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What each positive is compared with."""

    kind: LossKind = "softmax"
    """`softmax`, corrected for how the negatives were drawn, is the best in nearly every comparison; `bce`, `gbce` and
    `bpr` look at each negative by itself."""
    negatives: NegativesKind = "all"
    """`all`: the whole catalogue, right for up to some ten thousand items; `uniform`: `num_negatives` items drawn
    alike; `popular`: drawn by train frequency; `in_batch`: the batch's other positives; `mixed`: these and uniform;
    `cross_batch`: the positives of this batch and of the last ones before it."""
    num_negatives: int = 2048
    """Items drawn a step and shared by the batch, when `negatives` is `uniform`, `popular` or `mixed`."""
    popularity_power: float = 0.75
    """Exponent of the train frequency, when `negatives` is `popular`."""
    memory: int = 16_384
    """Positives of earlier batches that are kept, when `negatives` is `cross_batch`."""
    hard_negatives: int = 0
    """Items added for each query that an index of the current model ranks first for it; 0 adds none."""
    index_steps: int = 100
    """Steps after which that index is made anew."""
    calibration: float = 0.75
    """From 0 (as `bce`) to 1 (calibrated probabilities), when `kind` is `gbce`."""
    temperature: float = 0.1
    """Scores are divided by it before the softmax."""

    def __post_init__(self) -> None:
        _require("loss", self, "num_negatives", self.num_negatives >= 1, "at least 1")
        for name in ("memory", "index_steps"):
            _require("loss", self, name, getattr(self, name) >= 1, "at least 1")
        _require("loss", self, "hard_negatives", self.hard_negatives >= 0, "at least 0")
        is_sampled = not self.hard_negatives or self.negatives != "all"
        _require("loss", self, "hard_negatives", is_sampled, '0: `negatives = "all"` holds the hard ones already')
        _require("loss", self, "popularity_power", self.popularity_power >= 0, "at least 0")
        _require("loss", self, "calibration", 0 <= self.calibration <= 1, "between 0 and 1")
        _require("loss", self, "temperature", 0 < self.temperature < math.inf, "a positive number")


@dataclass(frozen=True, kw_only=True)
class RetrievalConfig:
    """The two-tower model and its training.

    RetrievalConfig()                                                      # a small catalogue
    RetrievalConfig(loss=LossConfig(negatives="in_batch"), batch_size=4096)  # a large one
    """

    dimension: int = 64
    """Components of the query and item vectors; `item_bias` adds one."""
    score: Literal["cosine", "dot"] = "cosine"
    """Whether the vectors are normalised; with `cosine`, choose `loss.temperature` near 0.1, with `dot` near 1."""
    item_bias: bool = True
    """Whether each item has a learnt bias, which starts from its train frequency; served as one more component."""
    hidden: tuple[int, ...] = ()
    """Widths of the layers that mix a tower's features; without any, the features' vectors are only added."""
    id_dropout: float = 0.0
    """Share of training examples whose candidate is an unknown item, so that items without history are learnt too."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """How the history becomes a vector."""
    ensemble: tuple[EncoderKind, ...] = ()
    """Encoders of further models, trained beside the first, each with embeddings and a loss of its own and the other
    options of `encoder`. The score is the mean of all; the vectors stand side by side, so that they are as many times
    as long."""
    examples: Examples = "event"
    """`event`: one example an event, with what happened before as its history; `basket`: one example a moment of a
    user, all its events positives; `sequence`: the same positives, all of a user's in one pass, for the encoders that
    know the order; `set`: one example a user, all whose events are both history and targets, right where time orders
    little."""
    repeat: float = 0.0
    """What the items of a history get on top of their scores: 0 adds nothing; 1 as much as training finds likely, from
    how often and how far from the end they occur there and, where the schema has `history_times`, how long before the
    newest entry; larger numbers so many times as much. For customers who buy the same things again; with `examples` of
    `event` or `basket`."""
    half_life: float = 0.0
    """Share of the time that the training events span, after which an event weighs half; 0 weighs all alike. For
    assortments that change with the seasons."""
    initialisation: Literal["random", "svd"] = "random"
    """What the item embeddings start from: noise, or the singular vectors of the interactions."""
    loss: LossConfig = field(default_factory=LossConfig)
    """What the positives are compared with."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How the weights follow the gradient."""
    batch_size: int = 1024
    """Examples a step, over all replicas together: events, baskets when `examples` is `basket`, or users when it is
    `set`."""
    epochs: int = 20
    """Passes over the training split."""
    patience: int = 5
    """Epochs without a better validation NDCG after which the training ends; 0 never ends it early."""
    validation_queries: int = 2000
    """Validation users scored after each epoch, at most."""
    checkpoint_seconds: float = 300.0
    """Seconds between checkpoints within an epoch; one more follows each epoch."""

    def __post_init__(self) -> None:
        _require("retrieval", self, "id_dropout", 0 <= self.id_dropout < 1, "a share in [0, 1)")
        _require("retrieval", self, "half_life", 0 <= self.half_life < math.inf, "a share of the training time, or 0")
        _require("retrieval", self, "validation_queries", self.validation_queries >= 1, "at least 1")
        _require("retrieval", self, "hidden", all(width >= 1 for width in self.hidden), "widths of at least 1")
        heads = self.encoder.heads
        _require("retrieval", self, "dimension", self.dimension % heads == 0, f"a multiple of {heads} heads")
        is_ordered = self.examples != "set" or {self.encoder.kind, *self.ensemble} == {"mean"}
        _require(
            "retrieval", self, "examples", is_ordered, "'event', 'basket' or 'sequence': a set has no order to encode"
        )
        _require("retrieval", self, "repeat", 0 <= self.repeat <= 100, "a number from 0 to 100; 1 adds what is likely")
        has_own = not self.repeat or self.examples in ("event", "basket")
        _require("retrieval", self, "repeat", has_own, '0, or `examples` of "event" or "basket"')
        _check_training("retrieval", self)


def require_history(config: RetrievalConfig, schema: Schema) -> None:
    """Refuses what a schema without a history cannot have.

    Raises:
        ConfigError: the configuration says `repeat`, or examples of kind `sequence`.
    """
    expected = 'a feature of kind "history" in [[features.query]]'
    has_history = schema.history is not None
    _require("retrieval", config, "repeat", has_history or not config.repeat, f"0, or {expected}")
    is_ordered = config.examples == "sequence"
    _require("retrieval", config, "examples", has_history or not is_ordered, f'"event", or {expected}')


@dataclass(frozen=True, kw_only=True)
class RankingConfig:
    """The ranking model, DCN-v2 (https://arxiv.org/abs/2008.13535), and its training."""

    dimension: int = 16
    """Components of each feature's embedding."""
    cross_layers: int = 2
    """Cross layers; n of them model interactions of up to n + 1 features."""
    cross_rank: int = 32
    """Rank of the cross layers' matrices (Eq. 2 of the paper); 0 takes full matrices (Eq. 1)."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the dense layers after the cross layers."""
    dropout: float = 0.2
    """Share of the inputs of the dense layers that are zeroed in training."""
    embedding_decay: float = 1e-4
    """L2 penalty on the embeddings of each example; larger where examples are few."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How the weights follow the gradient."""
    batch_size: int = 1024
    """Examples a step, over all replicas together."""
    epochs: int = 10
    """Passes over the training split."""
    patience: int = 3
    """Epochs without a better validation log loss after which the training ends; 0 never ends it early."""
    checkpoint_seconds: float = 300.0
    """Seconds between checkpoints within an epoch; one more follows each epoch."""

    def __post_init__(self) -> None:
        for name in ("cross_layers", "cross_rank"):
            _require("ranking", self, name, getattr(self, name) >= 0, "at least 0")
        _require("ranking", self, "dropout", 0 <= self.dropout < 1, "a share in [0, 1)")
        _require("ranking", self, "embedding_decay", self.embedding_decay >= 0, "at least 0")
        _require("ranking", self, "hidden", all(width >= 1 for width in self.hidden), "widths of at least 1")
        _check_training("ranking", self)


def _check_training(table: str, config: RetrievalConfig | RankingConfig) -> None:
    for name in ("dimension", "batch_size", "epochs"):
        _require(table, config, name, getattr(config, name) >= 1, "a whole number of at least 1")
    _require(table, config, "patience", config.patience >= 0, "at least 0")
    _require(table, config, "checkpoint_seconds", config.checkpoint_seconds >= 0, "at least 0 seconds")


def _require(table: str, config: object, name: str, ok: bool, expected: str) -> None:
    if not ok:
        raise ConfigError(f"{table}.{name}", getattr(config, name), expected)
