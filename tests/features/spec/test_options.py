"""Options of each feature kind that cannot be, and what their errors say."""

import pytest

from features.errors import ConfigError
from features.serialization import structure
from features.spec import FEATURE_KINDS, Feature

REFUSED = [
    ("id", "oov_buckets", 0, "at least 1, so that unknown ids can be served"),
    ("id", "min_count", 0, "at least 1"),
    ("history", "length", 0, "at least 1"),
    ("history_event_types", "oov_buckets", 0, "at least 1, so that unknown types can be served"),
    ("history_times", "name", "not a name", "a name of letters, digits and underscores"),
    ("timestamp", "parts", ["month", "month"], "each part once"),
    ("timestamp", "utc_offset_hours", 14.5, "between -14 and 14 hours"),
    ("categorical", "num_buckets", 0, "at least 1"),
    ("categorical", "oov_buckets", 0, "at least 1, so that unknown values can be served"),
    ("categorical", "min_count", 0, "at least 1"),
    ("categorical", "table", "items", "one of 'interactions', 'users'"),
    ("numeric", "num_buckets", 1, "at least 2"),
    ("text", "num_buckets", 0, "at least 1"),
    ("text", "max_tokens", 0, "at least 1"),
    ("multi_valued", "separator", "", "at least one character"),
    ("multi_valued", "num_buckets", 0, "at least 1"),
    ("multi_valued", "oov_buckets", 0, "at least 1, so that unknown values can be served"),
    ("multi_valued", "min_count", 0, "at least 1"),
    ("multi_valued", "max_values", 0, "at least 1"),
    ("vector", "length", 0, "at least 1 component"),
    ("vector", "table", "interactions", "one of 'users'"),
]


@pytest.mark.parametrize(("kind", "option", "value", "expected"), REFUSED)
def test_an_option_that_cannot_be_is_refused(kind: str, option: str, value: object, expected: str) -> None:
    required = {"vector": {"length": 3}}.get(kind, {})
    with pytest.raises(ConfigError) as caught:
        structure({"kind": kind, "name": "x", **required, option: value}, Feature)
    assert caught.value.field.rpartition(".")[2] == option
    assert caught.value.expected == expected


def test_an_offset_without_calendar_parts_is_read_by_nothing() -> None:
    with pytest.raises(ConfigError, match="nothing reads it"):
        structure({"kind": "timestamp", "name": "x", "parts": [], "utc_offset_hours": 2.0}, Feature)


def test_each_kind_is_tried() -> None:
    assert {kind for kind, *_ in REFUSED} == set(FEATURE_KINDS.names)
