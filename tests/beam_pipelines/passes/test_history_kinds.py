"""Kinds of events in the records, for schemas whose histories know them."""

from dataclasses import replace
from pathlib import Path

import pytest

from beam_pipelines.config import LabelConfig, NegativesConfig
from features.errors import ConfigError
from features.schema import Schema
from features.spec.history import HistoryEventTypesFeature
from tests.beam_pipelines.conftest import prepare

_WEIGHTS = {"view": 1.0, "buy": 3.0, "shown": 0.0}


def rows() -> list[dict]:
    kinds = ["view", "view", "buy", "shown"]
    return [
        {"user_id": f"u{u}", "item_id": f"i{n}", "timestamp": 1000 * n + u, "what": kinds[(n + u) % 4]}
        for u in range(4)
        for n in range(12)
    ]


def test_records_carry_the_kind_of_each_event(tmp_path: Path, ids_only: Schema) -> None:
    schema = replace(ids_only, query=(*ids_only.query, HistoryEventTypesFeature()))
    label = LabelConfig(event_type_column="what", event_weights=_WEIGHTS)
    negatives = NegativesConfig(kind="uniform", per_positive=1)
    prepared = prepare(tmp_path, schema, interactions=rows(), label=label, negatives=negatives, num_shards=1)
    kinds = {(row["user_id"], row["item_id"]): row["what"] for row in rows()}
    for split, records in prepared.retrieval().items():
        for record in records:
            user = record["user_id"][0]
            assert record["event_type"] == [kinds[user, item] for item in record["item_id"]], split
            assert "shown" not in record["event_type"]
    # A sampled negative stands beside its positive, whose kind it carries; it is in no history.
    ranking = prepared.ranking()["train"][0]
    assert len(ranking["event_type"]) == len(ranking["item_id"])
    assert prepared.tokens("history_event_types")[0] == "view"
    assert set(prepared.tokens("history_event_types")) == set(_WEIGHTS)


def test_kinds_need_a_column(tmp_path: Path, ids_only: Schema) -> None:
    schema = replace(ids_only, query=(*ids_only.query, HistoryEventTypesFeature()))
    with pytest.raises(ConfigError, match=r"pipeline\.label\.event_type_column"):
        prepare(tmp_path, schema, interactions=rows())
