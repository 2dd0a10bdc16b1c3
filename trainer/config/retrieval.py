"""What a user chooses about the two-tower model and its training. Imports no TensorFlow."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from features.errors import ConfigError
from features.schema import Schema
from features.spec.base import Feature
from trainer.config.augmentation import AugmentationConfig
from trainer.config.encoders import EncoderConfig, MeanConfig
from trainer.config.losses import LossConfig, SoftmaxConfig
from trainer.config.negatives import AllConfig, NegativesConfig
from trainer.config.semantic_ids import SemanticIdsConfig
from trainer.config.tables import TABLES, FullConfig, TableConfig, require_tables
from trainer.config.training import OptimizerConfig, check_training, require

ExampleKind: TypeAlias = Literal["event", "basket", "sequence", "set"]


@dataclass(frozen=True, kw_only=True)
class RetrievalConfig:
    """The two-tower model and its training.

    >>> from trainer.config.negatives import InBatchConfig
    >>> small_catalogue = RetrievalConfig()
    >>> large_catalogue = RetrievalConfig(negatives=InBatchConfig(), batch_size=4096)
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
    new_item_neighbours: int = 0
    """Items without training events get the mean vector and bias of so many others, those that their features resemble
    most; 0 leaves it to their features' embeddings."""
    new_item_cost: float = 0.0
    """Share of the validation's NDCG that may be given up so that lists show more items without training events: their
    scores are shifted together as far as that allows. 0 shifts nothing. It needs `item_bias`."""
    content_weight: float = 0.0
    """Weight of a second loss, which trains the features to predict an item's vector without its id: the mean of
    1 - cosine over the positives. It helps items without events. 0 for no such loss."""
    semantic_ids: SemanticIdsConfig = SemanticIdsConfig()
    """Codes that items with like features share, with an embedding each."""
    embedding: Mapping[str, TableConfig] = field(default_factory=dict)
    """How the embeddings of a feature's values are stored, by the name of the feature: `[retrieval.embedding.item_id]`
    with `kind = "hashed"` and the like, for tables that memory does not hold. A feature that is not named has a row for
    each value. The history shares the table of the items."""
    encoder: EncoderConfig = field(default_factory=MeanConfig)
    """How the history becomes a vector."""
    leave_out: tuple[str, ...] = ()
    """Names of features that retrieval does not learn from, so that what a feature brings can be measured without
    another dataset. The history and the item's id stay."""
    ensemble: tuple[EncoderConfig, ...] = ()
    """Encoders of further models, trained beside the first, each with embeddings and a loss of its own. The score is
    the mean of all; the vectors stand side by side, so that they are as many times as long."""
    examples: ExampleKind = "event"
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
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """Data augmentation: random crops, masks and substitutes in the histories of training examples; off by default."""
    initialisation: Literal["random", "svd"] = "random"
    """What the item embeddings start from: noise, or the singular vectors of the interactions."""
    loss: LossConfig = field(default_factory=SoftmaxConfig)
    """How the positives are compared with the negatives."""
    negatives: NegativesConfig = field(default_factory=AllConfig)
    """Which items the positives are compared with."""
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
        require("retrieval", self, "id_dropout", 0 <= self.id_dropout < 1, "a share in [0, 1)")
        require("retrieval", self, "new_item_neighbours", self.new_item_neighbours >= 0, "0 or more")
        is_share = 0 <= self.new_item_cost < 1 and (self.item_bias or not self.new_item_cost)
        require("retrieval", self, "new_item_cost", is_share, "a share in [0, 1), and 0 where `item_bias` is off")
        is_weight = 0 <= self.content_weight < math.inf
        require("retrieval", self, "content_weight", is_weight, "a number of at least 0")
        require("retrieval", self, "half_life", 0 <= self.half_life < math.inf, "a share of the training time, or 0")
        require("retrieval", self, "validation_queries", self.validation_queries >= 1, "at least 1")
        require("retrieval", self, "hidden", all(width >= 1 for width in self.hidden), "widths of at least 1")
        require("retrieval", self, "dimension", self.dimension >= 1, "a whole number of at least 1")
        encoders = (self.encoder, *self.ensemble)
        divisor = math.lcm(*(encoder.dimension_divisor for encoder in encoders))
        fits = f"a multiple of {divisor}, which the encoder's heads and rotary positions need; or set fewer heads"
        require("retrieval", self, "dimension", self.dimension % divisor == 0, fits)
        is_ordered = self.examples != "set" or not any(encoder.is_ordered for encoder in encoders)
        require(
            "retrieval", self, "examples", is_ordered, "'event', 'basket' or 'sequence': a set has no order to encode"
        )
        require("retrieval", self, "repeat", 0 <= self.repeat <= 100, "a number from 0 to 100; 1 adds what is likely")
        has_own = not self.repeat or self.examples in ("event", "basket")
        require("retrieval", self, "repeat", has_own, '0, or `examples` of "event" or "basket"')
        self.augmentation.require_order(self.examples)
        check_training("retrieval", self)


def streaming_obstacle(config: RetrievalConfig) -> str:
    """Why the model cannot be trained on events that are streamed from disk; empty if it can."""
    if config.initialisation == "svd":
        return 'retrieval.initialisation = "svd" decomposes all events; choose "random"'
    if config.augmentation.substitute:
        return "retrieval.augmentation.substitute finds similar items in all events; set it to 0"
    return ""


def require_features(config: RetrievalConfig, schema: Schema) -> None:
    """Refuses a configuration that names features which the schema does not have, or needs them.

    Raises:
        ConfigError: a feature that is left out is not there, is needed or has a table configured, the history is
            missing that `repeat`, `augmentation` and examples of kind `sequence` need, or the features of items that
            `content_weight` and `semantic_ids` need.
    """
    required = {schema.item_id, *([] if schema.history is None else [schema.history.name])}
    names = [feature.name for feature in (*schema.embedded_query, *schema.candidate) if feature.name not in required]
    expected = f"names of features that the models learn from: {', '.join(names) or 'there are none'}"
    require("retrieval", config, "leave_out", set(config.leave_out) <= set(names), expected)
    is_empty = all(feature.name in config.leave_out for feature in schema.embedded_query)
    require("retrieval", config, "leave_out", not is_empty, "names that leave a query feature to learn from")
    require_history(config, schema)
    _require_content(config, schema)
    require_tables("retrieval.embedding", config.embedding, schema)
    if unread := sorted(config.embedding.keys() & set(config.leave_out)):
        expected = f"no {unread[0]!r}, whose table is in [retrieval.embedding.{unread[0]}]; take either of them away"
        raise ConfigError("retrieval.leave_out", config.leave_out, expected)
    items = config.embedding.get(schema.item_id, FullConfig())
    if config.initialisation == "svd" and not items.is_linear:
        field = f"retrieval.embedding.{schema.item_id}.kind"
        expected = 'a kind that adds up rows, which singular vectors can be fitted to; or initialisation = "random"'
        raise ConfigError(field, TABLES.name_of(items), expected)


def require_history(config: RetrievalConfig, schema: Schema) -> None:
    """Refuses what a schema without a history cannot have.

    Raises:
        ConfigError: the configuration says `repeat`, `augmentation`, or examples of kind `sequence`.
    """
    expected = 'a feature of kind "history" in [[features.query]]'
    has_history = schema.history is not None
    require("retrieval", config, "repeat", has_history or not config.repeat, f"0, or {expected}")
    is_ordered = config.examples == "sequence"
    require("retrieval", config, "examples", has_history or not is_ordered, f'"event", or {expected}')
    config.augmentation.require_history(schema)


def has_content(config: RetrievalConfig, schema: Schema) -> bool:
    """Whether a feature that is not left out says what an item is like; a number says only how much of something."""
    return any(each.statistics is None or each.statistics.num_buckets for each in _sides(config, schema))


def _sides(config: RetrievalConfig, schema: Schema) -> list[Feature]:
    """The features of candidates that are learnt from beside the id."""
    return [each for each in schema.candidate if each.name not in (schema.item_id, *config.leave_out)]


def _require_content(config: RetrievalConfig, schema: Schema) -> None:
    """Refuses what needs to know more of items than their id.

    Raises:
        ConfigError: the configuration says `content_weight` or `semantic_ids`, and nothing else is learnt from.
    """
    has_sides = bool(_sides(config, schema))
    expected = "0, or a feature beside the id in [[features.candidate]] that is not left out"
    require("retrieval", config, "content_weight", has_sides or not config.content_weight, expected)
    expected = f"{expected} and has values, words or vectors"
    is_told = has_content(config, schema) or not config.semantic_ids.levels
    require("retrieval.semantic_ids", config.semantic_ids, "levels", is_told, expected)
