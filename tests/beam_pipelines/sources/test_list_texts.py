import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.sources.list_texts import cut_lists, parse_list, share_of_lists

_WORDS = st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8), max_size=5)


@given(_WORDS)
def test_what_json_python_and_numpy_write_is_read_back(words: list[str]) -> None:
    for text in (json.dumps(words), json.dumps(words, ensure_ascii=False), repr(words), f" {words!r}\n"):
        assert parse_list(text) == words
    if len(words) > 1:
        assert parse_list(repr(tuple(words))) == words
        assert parse_list("[" + "\n ".join(map(repr, words)) + "]") == words
    assert sorted(parse_list(repr(set(words))) or []) == sorted(set(words)) or not words


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("[27, 9]", ["27", "9"]),
        ("[1.50, 2e3]", ["1.50", "2e3"]),
        (str(np.arange(3)), ["0", "1", "2"]),
        ("[rock, hard rock]", ["rock", "hard rock"]),
        ('{rock,"hard rock"}', ["rock", "hard rock"]),
        ('[["Books", "Crime"], ["Gifts"]]', ["Books", "Crime", "Gifts"]),
        ("['a', None]", ["a"]),
        ("[]", []),
        ("[rock]", ["rock"]),
        ("[live] at home [demo]", None),
        ("[1]|[2]", None),
        ("(live)", None),
        ("(1999)", None),
        ('{"a": 1}', None),
        ("rock|pop", None),
        ("", None),
    ],
)
def test_lists_in_other_notations(text: str, entries: list[str] | None) -> None:
    assert parse_list(text) == entries


def test_lists_and_cut_texts_stand_side_by_side() -> None:
    texts = pa.array(["['a', 'b, c']", " a | b ", "", "[live] x [demo]|y", "(live)"])
    assert cut_lists(texts, "|").to_pylist() == [["a", "b, c"], ["a", "b"], [""], ["[live] x [demo]", "y"], ["(live)"]]
    assert share_of_lists(texts) == 1 / 5
