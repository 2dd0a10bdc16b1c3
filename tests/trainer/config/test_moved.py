"""Fields of former versions: the error says where they are now."""

import pytest

from features.errors import ConfigError
from features.serialization import structure
from trainer.config.ranking import RankingConfig
from trainer.config.retrieval import RetrievalConfig


@pytest.mark.parametrize(
    ("kind", "path", "table", "message"),
    [
        (
            RankingConfig,
            "ranking",
            {"cross_layers": 3},
            r"ranking.cross_layers = 3: .*now ranking\.network\.cross_layers",
        ),
        (RankingConfig, "ranking", {"dropout": 0.1}, r"ranking.dropout = 0.1: .*now ranking\.network\.dropout"),
        (
            RetrievalConfig,
            "retrieval",
            {"loss": {"kind": "bce", "negatives": "in_batch"}},
            r"retrieval.loss.negatives = 'in_batch': .*now retrieval\.negatives\.kind",
        ),
        (
            RetrievalConfig,
            "retrieval",
            {"loss": {"num_negatives": 64}},
            r"retrieval.loss.num_negatives = 64: .*now retrieval\.negatives\.num_negatives",
        ),
    ],
)
def test_a_field_that_moved_names_its_new_place(kind: type, path: str, table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        structure(table, kind, path)
