"""What a user chooses about the ranking model and its training. Imports no TensorFlow."""

from dataclasses import dataclass, field

from trainer.config.training import OptimizerConfig, check_training, require


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
            require("ranking", self, name, getattr(self, name) >= 0, "at least 0")
        require("ranking", self, "dropout", 0 <= self.dropout < 1, "a share in [0, 1)")
        require("ranking", self, "embedding_decay", self.embedding_decay >= 0, "at least 0")
        require("ranking", self, "hidden", all(width >= 1 for width in self.hidden), "widths of at least 1")
        check_training("ranking", self)
