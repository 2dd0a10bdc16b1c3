"""What every feature kind states about itself fits together, and fits its encoder."""

from dataclasses import MISSING, fields

import pytest

from features.encoding.encoder import FeatureEncoder
from features.errors import ConfigError
from features.schema import Schema
from features.serialization import structure, unstructure
from features.spec import FEATURE_KINDS, Feature

COLUMN_TYPES = {
    "id": ("string", False),
    "token": ("string", False),
    "text": ("string", False),
    "list": ("string", True),
    "number": ("float32", False),
    "vector": ("float32", True),
    "time": ("int64", False),
}


@pytest.fixture(params=FEATURE_KINDS.names)
def feature(request: pytest.FixtureRequest) -> Feature:
    """One of each kind, with the defaults of its options."""
    options = FEATURE_KINDS.options(request.param)
    required = {field.name for field in fields(options) if field.default is MISSING}
    values = {"name": "x", "length": 3}
    return options(**{name: values[name] for name in required})


def test_a_kind_is_read_as_it_is_written(feature: Feature) -> None:
    assert structure(unstructure(feature), Feature) == feature
    assert unstructure(feature)["kind"] == feature.kind


def test_a_kind_has_an_encoder(feature: Feature) -> None:
    assert issubclass(FEATURE_KINDS.implementation(feature), FeatureEncoder)


def test_values_have_the_type_that_the_raw_column_is_read_as(feature: Feature) -> None:
    if feature.column is None:
        assert feature.owner == "history"
    else:
        assert (feature.raw_type, feature.is_list) == COLUMN_TYPES[feature.column.kind]


def test_what_is_learnt_fits_the_values(feature: Feature) -> None:
    if feature.vocabulary is not None:
        assert feature.raw_type == "string"
        assert feature.vocabulary.oov_buckets >= 1
    if feature.statistics is not None:
        assert (feature.raw_type, feature.is_list) == ("float32", False)


def test_filters_fit_the_values(feature: Feature) -> None:
    expected = {"values": "string", "range": "float32", None: feature.raw_type}
    assert feature.raw_type == expected[feature.filter_by]
    assert feature.filter_by is None or "candidate" in feature.sides


def test_lists_of_one_length_are_lists(feature: Feature) -> None:
    assert feature.fixed_length is None or feature.is_list


def test_missing_values_have_the_type_of_the_values(feature: Feature) -> None:
    assert type(feature.missing_value) is {"string": str, "int64": int, "float32": float}[feature.raw_type]


def test_a_name_is_an_identifier(feature: Feature) -> None:
    with pytest.raises(ConfigError, match=r"features\.two words\.name = 'two words': expected a name of letters"):
        type(feature)(**{**_options(feature), "name": "two words"})


def test_each_side_takes_the_kinds_that_name_it(feature: Feature, schema: Schema) -> None:
    for side, others in (("query", schema.query), ("candidate", schema.candidate)):
        if side in feature.sides:
            continue
        with pytest.raises(ConfigError, match=rf"features\.{side}\.{feature.name}\.kind = '{feature.kind}'"):
            Schema(**{"query": schema.query, "candidate": schema.candidate, side: (*others, feature)})


def _options(feature: Feature) -> dict[str, object]:
    return {field.name: getattr(feature, field.name) for field in fields(feature)}
