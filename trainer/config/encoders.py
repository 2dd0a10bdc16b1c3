"""The kinds of history encoder and the options of each. Imports no TensorFlow."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from features.kinds import Kinds
from trainer.config.training import require


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """How the items of a history become one vector.

    `transformer` is the most accurate where the order tells, `recency` where it tells little; `mean` ignores it; `gru`,
    `lstm`, `cnn` and `hstu` are for comparison and for ensembles.
    """

    dropout: float = 0.0
    """Share of the components of the history's vector that are zeroed in training."""
    side_features: bool = False
    """Whether the items of a history are told by their side features too, as the candidates are."""
    is_ordered: ClassVar[bool] = True
    """Whether the order of the items counts."""

    def __post_init__(self) -> None:
        require("encoder", self, "dropout", 0 <= self.dropout < 1, "a share in [0, 1)")

    @property
    def dimension_divisor(self) -> int:
        """What has to divide the dimension of the vectors."""
        return 1


@dataclass(frozen=True, kw_only=True)
class MeanConfig(EncoderConfig):
    """The mean of the items' vectors."""

    is_ordered: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class RecencyConfig(EncoderConfig):
    """A weighted mean of the items' vectors; what each place from the end weighs is learnt."""


@dataclass(frozen=True, kw_only=True)
class LayeredConfig(EncoderConfig):
    """An encoder of several layers."""

    layers: int = 1
    """Layers or attention blocks, one after the other."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("encoder", self, "layers", self.layers >= 1, "a whole number of at least 1")


@dataclass(frozen=True, kw_only=True)
class GRUConfig(LayeredConfig):
    """Gated recurrent units."""


@dataclass(frozen=True, kw_only=True)
class LSTMConfig(LayeredConfig):
    """Long short-term memory."""


@dataclass(frozen=True, kw_only=True)
class CNNConfig(LayeredConfig):
    """Causal convolutions."""

    kernel_size: int = 3
    """Items that a convolution looks at."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("encoder", self, "kernel_size", self.kernel_size >= 1, "a whole number of at least 1")


@dataclass(frozen=True, kw_only=True)
class AttentionConfig(LayeredConfig):
    """An encoder of attention blocks."""

    heads: int = 1
    """Attention heads; they divide `retrieval.dimension`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("encoder", self, "heads", self.heads >= 1, "a whole number of at least 1")

    @property
    def dimension_divisor(self) -> int:
        """The heads, which share the components."""
        return self.heads


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(AttentionConfig):
    """Causal self-attention."""

    positions: Literal["learnt", "rotary"] = "learnt"
    """How a block tells where an item is: `learnt`, a vector for each place from the start; `rotary`, by the distance
    between two items."""
    feed_forward: Literal["gelu", "swiglu"] = "gelu"
    """The layers after the attention; `swiglu` multiplies two of them, with as many weights."""
    gated: bool = False
    """Whether a learnt gate for each component decides how much of a block's output is added to what came in."""

    @property
    def dimension_divisor(self) -> int:
        """The heads, whose components rotary positions turn in pairs."""
        return 2 * self.heads if self.positions == "rotary" else self.heads


@dataclass(frozen=True, kw_only=True)
class HSTUConfig(AttentionConfig):
    """Gated attention without softmax, by the places between items and, with `history_times`, by the time."""


ENCODERS = Kinds(
    EncoderConfig,
    {
        "mean": (MeanConfig, "trainer.layers.encoders.mean:MeanEncoder"),
        "recency": (RecencyConfig, "trainer.layers.encoders.recency:RecencyEncoder"),
        "gru": (GRUConfig, "trainer.layers.encoders.gru:GRUEncoder"),
        "lstm": (LSTMConfig, "trainer.layers.encoders.lstm:LSTMEncoder"),
        "cnn": (CNNConfig, "trainer.layers.encoders.cnn:CNNEncoder"),
        "transformer": (TransformerConfig, "trainer.layers.encoders.transformer:TransformerEncoder"),
        "hstu": (HSTUConfig, "trainer.layers.encoders.hstu:HSTUEncoder"),
    },
    default="mean",
)
