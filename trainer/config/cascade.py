"""What a user chooses about the list ranker, the second stage over retrieval's candidates. Imports no TensorFlow."""

import math
from dataclasses import dataclass, field
from typing import Literal

from trainer.config.training import OptimizerConfig, check_training, require


@dataclass(frozen=True, kw_only=True)
class ListRankerConfig:
    """The list ranker and its training."""

    enabled: bool = False
    """Whether there is a list ranker: it then orders what `recommender` answers, where validation says that it does so
    better than retrieval."""
    candidates: int = 300
    """Items that retrieval finds for each query of the training, as many as it will be served."""
    new_item_candidates: float = 0.0
    """Share of the candidates that are kept for the best items without training events, which are hardly ever among
    them by their scores. The ranker then learns from such items too: those that are new in each fold."""
    history: int = 300
    """Last items of a user that the ranker compares candidates with; more than the encoder's `history` feature keeps
    costs retrieval nothing."""
    folds: int = 2
    """Windows of later training events that the ranker learns from; retrieval is trained once for each."""
    fold_kind: Literal["per_user_fraction", "leave_last_out", "global_time"] = "per_user_fraction"
    """Whether a window holds the latest events of each user, the last one of each, or the latest of all users by time;
    set it to `pipeline.split.kind`."""
    gap: float = 0.1
    """Share of the training events between those that a fold's retrieval is trained on and its window; `leave_last_out`
    has none."""
    window: float = 0.2
    """Share of the training events in a fold's window; with `leave_last_out` it is each user's last moment."""
    refresh_days: float = 0.0
    """Days between two refreshes of what the ranker knows of recent events, by `retrain` or `export --refresh-index`.
    Training and evaluation count items as of the last one before each query; 0 counts once, before the split."""
    neighbours: int = 300
    """Neighbours kept of each item in each of six tables of item pairs; 8 bytes each in the SavedModel."""
    max_lists: int = 10_000
    """Lists that the ranker learns from and is validated by, each at most; a list of 300 takes some 110 KB."""
    members: int = 4
    """Networks whose mean ranks; they see the same lists and start from different weights."""
    hidden: tuple[int, ...] = (64, 32)
    """Widths of the dense layers."""
    dropout: float = 0.1
    """Share of the components of the dense layers that are zeroed in training."""
    loss: Literal["softmax", "pairwise", "lambda_ndcg", "logistic"] = "softmax"
    """What a list is judged by in training."""
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(learning_rate=0.002))
    """How the weights follow the gradient."""
    batch_size: int = 32
    """Lists a step, over all replicas together."""
    epochs: int = 8
    """Passes over the lists."""
    patience: int = 0
    """Epochs without a better validation NDCG after which the training ends; 0 never ends it early."""
    checkpoint_seconds: float = 300.0
    """Seconds between checkpoints within an epoch; one more follows each epoch."""

    @property
    def num_new_candidates(self) -> int:
        """Candidates that are kept for new items: at least one if any are asked for."""
        return max(1, round(self.new_item_candidates * self.candidates)) if self.new_item_candidates else 0

    def __post_init__(self) -> None:
        for name in ("candidates", "history", "folds", "neighbours", "max_lists", "members"):
            require("list_ranking", self, name, getattr(self, name) >= 1, "a whole number of at least 1")
        require("list_ranking", self, "refresh_days", 0 <= self.refresh_days < math.inf, "days, at least 0")
        share = self.new_item_candidates
        require("list_ranking", self, "new_item_candidates", 0 <= share < 1, "a share in [0, 1)")
        require("list_ranking", self, "gap", 0 <= self.gap < 1, "a share in [0, 1)")
        require("list_ranking", self, "window", 0 < self.window < 1, "a share in (0, 1)")
        left = 1 - self.gap - self.folds * self.window
        is_share = self.fold_kind != "leave_last_out"
        require(
            "list_ranking",
            self,
            "folds",
            left > 0 or not is_share,
            "windows that leave earlier events: 1 - gap - folds * window > 0",
        )
        require("list_ranking", self, "hidden", all(width >= 1 for width in self.hidden), "widths of at least 1")
        require("list_ranking", self, "dropout", 0 <= self.dropout < 1, "a share in [0, 1)")
        check_training("list_ranking", self)
