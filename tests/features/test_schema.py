import dataclasses

import pytest

from features.errors import ConfigError
from features.schema import Schema, fingerprint
from features.serialization import structure, unstructure
from features.spec.categorical import CategoricalFeature
from features.spec.history import HistoryFeature, HistoryTimesFeature
from features.spec.ids import IdFeature
from features.spec.kinds import FEATURE_KINDS
from features.spec.multi_valued import MultiValuedFeature
from features.spec.numeric import NumericFeature

USER = IdFeature(name="user_id")
ITEM = IdFeature(name="item_id")


def test_roles_select_features(schema: Schema) -> None:
    assert [f.name for f in schema.user_features] == ["user_id", "taste"]
    assert [f.name for f in schema.context_features] == ["timestamp", "device"]
    assert schema.history == HistoryFeature(name="history", length=4)
    assert schema.item_id_feature.name == "item_id"


def test_schema_survives_plain_data(schema: Schema) -> None:
    assert structure(unstructure(schema), Schema, "features") == schema


def test_fingerprint_changes_with_every_field(schema: Schema) -> None:
    changed = dataclasses.replace(schema, candidate=schema.candidate[:-1])
    assert changed.fingerprint() != schema.fingerprint()
    assert schema.fingerprint() == structure(unstructure(schema), Schema).fingerprint()


def test_fingerprint_ignores_key_order() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


@pytest.mark.parametrize(
    ("query", "candidate", "words"),
    [
        ((), (ITEM,), ["features.query", "at least one"]),
        ((USER,), (), ["features.candidate", "kind 'id'"]),
        ((USER, USER), (ITEM,), ["user_id", "each name once"]),
        ((USER, NumericFeature(name="label")), (ITEM,), ["features.task.name", "label", "features"]),
        ((IdFeature(name="client"),), (ITEM,), ["client", "'user_id'", "categorical"]),
        ((USER, HistoryFeature(), HistoryFeature(name="other")), (ITEM,), ["at most one"]),
        ((USER, HistoryTimesFeature()), (ITEM,), ["history_times", "kind 'history' beside it"]),
        ((HistoryFeature(), HistoryTimesFeature(), HistoryTimesFeature(name="b")), (ITEM,), ["each kind at most once"]),
        ((USER, HistoryFeature(name="timestamp")), (ITEM,), ["history", "timestamp"]),
        ((USER, CategoricalFeature(name="x")), (ITEM, CategoricalFeature(name="x")), ["different names"]),
        ((USER, NumericFeature(name="year_min")), (ITEM, NumericFeature(name="year")), ["year_min", "filter"]),
        ((USER, MultiValuedFeature(name="tags")), (ITEM,), ["features.query.tags.kind", "multi_valued", "numeric"]),
        ((USER,), (ITEM, HistoryFeature()), ["features.candidate.history.kind", "'history'", "multi_valued"]),
    ],
)
def test_bad_schema_is_refused(query: tuple, candidate: tuple, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Schema(query=query, candidate=candidate)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("table", "field", "words"),
    [
        ({"kind": "idd", "name": "user_id"}, "features.query[0].kind", [*FEATURE_KINDS.names]),
        ({"name": "user_id"}, "features.query[0].kind", ["id"]),
        ({"kind": "id", "name": "user_id", "oov": 1}, "features.query[0].oov", ["oov_buckets", "1"]),
        ({"kind": "id", "name": "user_id", "oov_buckets": "1"}, "features.query[0].oov_buckets", ["int", "'1'"]),
        ({"kind": "id", "name": "user_id", "oov_buckets": True}, "features.query[0].oov_buckets", ["int"]),
        ({"kind": "id"}, "features.query[0].name", ["required"]),
        ({"kind": "numeric", "name": "a", "encoding": "log"}, "features.query[0].encoding", ["standardise", "buckets"]),
        ({"kind": "history", "length": 0}, "features.history.length", ["at least 1"]),
        ({"kind": "numeric", "name": "two words"}, "two words", ["letters"]),
    ],
)
def test_bad_feature_table_names_field_value_and_choices(table: dict, field: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        structure({"query": [table], "candidate": [{"kind": "id", "name": "item_id"}]}, Schema, "features")
    assert field in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_an_id_that_is_not_embedded_is_looked_up_but_not_learnt(schema: Schema) -> None:
    only_looked_up = dataclasses.replace(
        schema, query=(IdFeature(name="user_id", embedding=False), HistoryFeature(name="history", length=3))
    )
    assert [feature.name for feature in only_looked_up.embedded_query] == ["history"]
    assert "user_id" in only_looked_up.vocabularies
    with pytest.raises(ConfigError, match="at least one feature to learn from"):
        dataclasses.replace(schema, query=(IdFeature(name="user_id", embedding=False),))
    item_id = IdFeature(name="item_id", embedding=False)
    with pytest.raises(ConfigError, match=r"item_id\.embedding"):
        dataclasses.replace(schema, candidate=(item_id,))
