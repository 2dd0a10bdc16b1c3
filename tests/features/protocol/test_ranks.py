"""Words for ranks."""

import pytest

from features.protocol.ranks import describe_rank


@pytest.mark.parametrize(
    ("rank", "words"),
    [
        (0, "a single value"),
        (1, "a list, one value per query"),
        (2, "a list of lists, one list per query"),
        (3, "lists nested 3 deep"),
    ],
)
def test_each_rank_has_its_words(rank: int, words: str) -> None:
    assert describe_rank(rank) == words
