"""Vectors computed beforehand, of items and of users, from the tables into the records."""

from pathlib import Path

import pytest

from beam_pipelines.config import ColumnRule, PipelineConfig, TableSource
from beam_pipelines.sources.tables import raw_tables
from features.errors import ConfigError, RecstackError
from features.schema import Schema
from features.spec.ids import IdFeature
from features.spec.vector import VectorFeature
from tests.beam_pipelines.conftest import Rows, prepare

SCHEMA = Schema(
    query=(IdFeature(name="user_id"), VectorFeature(name="taste", length=2)),
    candidate=(IdFeature(name="item_id"), VectorFeature(name="cover", length=3)),
)
ITEMS: Rows = [{"item_id": f"i{n}", "cover": None if n == 2 else [float(n), 0.5, -1.0]} for n in range(4)]
USERS: Rows = [{"user_id": f"u{n}", "taste": f"[{n}, 0.25]"} for n in range(3)]
EVENTS: Rows = [
    {"user_id": f"u{user}", "item_id": f"i{item}", "timestamp": 1_700_000_000 + item}
    for user in range(4)
    for item in range(4)
]


def test_records_hold_the_vectors_and_an_empty_list_where_there_is_none(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, SCHEMA, interactions=EVENTS, items=ITEMS, users=USERS)
    covers = {record["item_id"][0]: record["cover"] for record in prepared.candidates()}
    assert covers == {f"i{n}": [] if n == 2 else [n, 0.5, -1] for n in range(4)}
    tastes = {record["user_id"][0]: record["taste"] for record in prepared.retrieval()["train"]}
    assert tastes == {f"u{n}": [n, 0.25] if n < 3 else [] for n in range(4)}


def test_vectors_of_another_length_end_the_run_with_the_reason(tmp_path: Path) -> None:
    short = [{"item_id": row["item_id"], "cover": [1.0, 2.0]} for row in ITEMS]
    with pytest.raises(RecstackError, match="cover has not the 3 components of its feature"):
        prepare(tmp_path, SCHEMA, interactions=EVENTS, items=short, users=USERS)


def test_a_rule_for_a_vector_is_refused(tmp_path: Path) -> None:
    items = TableSource(path="items.parquet", rules={"cover": ColumnRule(minimum=0.0)})
    config = PipelineConfig(interactions=TableSource(path="x"), items=items, users=TableSource(path="y"))
    with pytest.raises(ConfigError, match=r"pipeline\.items\.rules\.cover"):
        raw_tables(SCHEMA, config)
