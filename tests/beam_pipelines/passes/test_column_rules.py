import numpy as np
import pyarrow as pa
import pytest

from beam_pipelines.config import ColumnRule, PipelineConfig, TableSource
from beam_pipelines.passes.column_rules import apply_rule
from beam_pipelines.sources.tables import Column, raw_tables
from features.errors import ConfigError
from features.schema import Schema

_NUMBERS = pa.array([1.0, 5.0, 9.0, np.nan], pa.float32())


def apply(values: pa.Array, **rule: object) -> tuple[list, dict[str, list[bool]]]:
    column = Column(name="x", source="x", kind="number", rule=ColumnRule(**rule))
    kept, refused = apply_rule(values, column)
    return kept.to_pylist(), {reason: mask.to_pylist() for reason, mask in refused.items()}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"minimum": 2.0, "maximum": 8.0, "outside": "clip"}, [2, 5, 8, np.nan]),
        ({"minimum": 2.0, "outside": "missing"}, [np.nan, 5, 9, np.nan]),
        ({"maximum": 8.0, "outside": "missing", "missing": "fill", "fill": "-1"}, [1, 5, -1, -1]),
        ({}, [1, 5, 9, np.nan]),
    ],
)
def test_numbers_are_clipped_emptied_or_filled(rule: dict, expected: list[float]) -> None:
    values, refused = apply(_NUMBERS, **rule)
    np.testing.assert_array_equal(values, expected)
    assert refused == {}


def test_rows_are_refused_by_bounds_and_for_missing_values() -> None:
    _, refused = apply(_NUMBERS, minimum=2.0, maximum=8.0, missing="reject")
    assert refused == {
        "is not between 2 and 8": [True, False, True, False],
        "is missing": [False, False, False, True],
    }


def test_texts_and_lists_are_filled_or_refused_too() -> None:
    assert apply(pa.array(["a", ""]), missing="fill", fill="?")[0] == ["a", "?"]
    assert apply(pa.array([["a"], []]), missing="fill", fill="?")[0] == [["a"], ["?"]]
    assert apply(pa.array([["a"], []]), missing="reject")[1] == {"is missing": [False, True]}


@pytest.mark.parametrize(
    ("field", "rules"),
    [
        ("pipeline.interactions.rules.color", {"color": ColumnRule()}),
        ("pipeline.interactions.rules.user_id", {"user_id": ColumnRule()}),
        ("pipeline.interactions.rules.device", {"device": ColumnRule(minimum=1.0)}),
        ("pipeline.interactions.rules.price.fill", {"price": ColumnRule(missing="fill", fill="cheap")}),
    ],
)
def test_a_rule_must_fit_its_column(plain_schema: Schema, field: str, rules: dict) -> None:
    config = PipelineConfig(interactions=TableSource(path="x.csv", rules=rules), items=TableSource(path="y.csv"))
    with pytest.raises(ConfigError) as caught:
        raw_tables(plain_schema, config)
    assert caught.value.field == field
