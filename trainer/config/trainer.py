"""What the trainer reads of the whole configuration. Imports no TensorFlow."""

from typing import Protocol

from trainer.config.cascade import ListRankerConfig
from trainer.config.evaluation import EvaluationConfig
from trainer.config.export import ExportConfig
from trainer.config.index import IndexConfig
from trainer.config.ranking import RankingConfig
from trainer.config.retrieval import RetrievalConfig


class TrainerConfig(Protocol):
    """The trainer's nodes of the configuration, by name."""

    @property
    def retrieval(self) -> RetrievalConfig:
        """The two-tower model."""

    @property
    def ranking(self) -> RankingConfig:
        """The ranking model."""

    @property
    def list_ranking(self) -> ListRankerConfig:
        """The list ranker, the second stage over retrieval's candidates."""

    @property
    def index(self) -> IndexConfig:
        """The index over the items."""

    @property
    def evaluation(self) -> EvaluationConfig:
        """Metrics and baselines."""

    @property
    def export(self) -> ExportConfig:
        """The SavedModels."""
