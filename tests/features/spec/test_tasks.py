import math
from dataclasses import replace

import pytest

from features.errors import ConfigError
from features.schema import Schema
from features.serialization import structure, unstructure
from features.spec.tasks import Task


def test_schema_without_tasks_has_one_binary_label(schema: Schema) -> None:
    assert schema.task == (Task(name="label"),)
    assert schema.task[0].type == "binary"


def test_tasks_are_read_from_tables_and_change_the_fingerprint(schema: Schema) -> None:
    tables = [{"name": "liked", "threshold": 4.0}, {"name": "rating", "type": "regression"}]
    read = structure({**unstructure(schema), "task": tables}, Schema)
    assert read.task == (Task(name="liked", threshold=4.0), Task(name="rating", type="regression"))
    assert read.fingerprint() != schema.fingerprint()


def test_label_of_a_sampled_negative_is_known_of_binary_tasks_only() -> None:
    assert Task(name="a").label_of_a_negative == 0.0
    assert math.isnan(Task(name="a", type="regression").label_of_a_negative)


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ({"name": "two words"}, "features.task.two words.name"),
        ({"name": "a", "type": "ordinal"}, "features.task[0].type"),
        ({"name": "a", "threshold": math.inf}, "features.task.a.threshold"),
        ({"name": "a", "type": "regression", "threshold": 1.0}, "features.task.a.threshold"),
        ({"name": "a", "type": "regression", "event_types": ["buy"]}, "features.task.a.event_types"),
        ({"name": "a", "threshold": 1.0, "event_types": ["buy"]}, "features.task.a.event_types"),
        ({"name": "a", "loss": "mse"}, "features.task[0].loss"),
    ],
)
def test_bad_task_is_named_by_its_field(table: dict[str, object], field: str) -> None:
    data = {"query": [{"kind": "history"}], "candidate": [{"kind": "id", "name": "item_id"}], "task": [table]}
    with pytest.raises(ConfigError) as caught:
        structure(data, Schema, "features")
    assert str(caught.value).startswith(field + " = ")


@pytest.mark.parametrize("name", ["device", "brand", "item_id", "timestamp", "weight", "scores"])
def test_task_cannot_have_a_name_that_is_taken(schema: Schema, name: str) -> None:
    with pytest.raises(ConfigError, match=r"features\.task\.name"):
        replace(schema, task=(Task(name=name),))


def test_schema_needs_a_task_and_each_name_once(schema: Schema) -> None:
    with pytest.raises(ConfigError, match="at least one task"):
        replace(schema, task=())
    with pytest.raises(ConfigError, match="each name once"):
        replace(schema, task=(Task(name="a"), Task(name="a")))
