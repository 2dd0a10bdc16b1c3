"""`recstack query`: what its arguments become."""

import pytest

from features.errors import InputError
from features.schema import Schema
from features.spec.categorical import CategoricalFeature
from features.spec.history import HistoryFeature, HistoryTimesFeature
from features.spec.ids import IdFeature
from features.spec.numeric import NumericFeature
from features.spec.time import TimestampFeature
from features.spec.vector import VectorFeature
from recstack.verbs.query import _context, _filters

SCHEMA = Schema(
    query=(
        IdFeature(name="user_id"),
        HistoryFeature(),
        HistoryTimesFeature(),
        TimestampFeature(name="timestamp"),
        CategoricalFeature(name="device"),
        NumericFeature(name="age"),
        VectorFeature(name="taste", length=2),
    ),
    candidate=(IdFeature(name="item_id"),),
)


def test_filters_are_bounds_or_lists():
    given = ["year_min=1990", "genres_any_of=Drama,War", "allow_item_ids=a=b"]
    assert _filters(given) == {"year_min": 1990.0, "genres_any_of": ["Drama", "War"], "allow_item_ids": ["a=b"]}


@pytest.mark.parametrize("text", ["year", "year_max=soon"])
def test_a_filter_that_is_none_is_named(text):
    with pytest.raises(InputError, match=f"--filters {text}: expected"):
        _filters([text])


def test_context_takes_the_types_of_the_features():
    given = ["device=a=b", "age=31", "taste=0.5,-1", "history_timestamps=7,8", "timestamp=9"]
    assert _context(SCHEMA, given) == {
        "device": "a=b",
        "age": 31.0,
        "taste": [0.5, -1.0],
        "history_timestamps": [7, 8],
        "timestamp": 9,
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ["device"],
            "--context device: expected name=value, where the configuration has timestamp, device",
        ),
        (["devise=phone"], "device, age, taste"),
        (["user_id=7"], "--context user_id=7: expected"),
        (["history=7"], "--context history=7: expected"),
        (["age=old"], "--context age=old: expected number"),
        (["age=inf"], "--context age=inf: expected a finite number"),
        (["taste=1,-inf"], "--context taste=1,-inf: expected a finite number"),
        (["timestamp=1.5"], "--context timestamp=1.5: expected whole number"),
        (["history_timestamps=1,b"], "--context history_timestamps=1,b: expected whole numbers"),
        (["taste=1"], "--context taste=1: 1 numbers found, expected 2"),
        (["age=1", "age=2"], "age is given twice"),
    ],
)
def test_context_that_the_model_cannot_take_is_named(given, words):
    with pytest.raises(InputError) as caught:
        _context(SCHEMA, given)
    assert words in str(caught.value)


def test_a_model_without_context_says_so():
    bare = Schema(query=(IdFeature(name="user_id"),), candidate=(IdFeature(name="item_id"),))
    with pytest.raises(InputError, match="no query feature beside"):
        _context(bare, ["age=3"])
