"""`recstack query`: what its arguments become."""

import pytest

from features.errors import InputError
from recstack.verbs.query import _filters


def test_filters_are_bounds_or_lists():
    given = ["year_min=1990", "genres_any_of=Drama,War", "allow_item_ids=a=b"]
    assert _filters(given) == {"year_min": 1990.0, "genres_any_of": ["Drama", "War"], "allow_item_ids": ["a=b"]}


@pytest.mark.parametrize("text", ["year", "year_max=soon"])
def test_a_filter_that_is_none_is_named(text):
    with pytest.raises(InputError, match=f"--filters {text}: expected"):
        _filters([text])
