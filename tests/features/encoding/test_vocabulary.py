from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.encoding.vocabulary import Vocabulary
from features.errors import InputError

tokens = st.text(min_size=1, max_size=8).filter(lambda t: "\n" not in t and "\r" not in t and t.isprintable())
counts = st.dictionaries(tokens, st.integers(1, 9), max_size=20)


def test_most_frequent_first_and_ties_in_code_point_order() -> None:
    vocabulary = Vocabulary(()).grow({"b": 2, "a": 2, "c": 3, "d": 1}, min_count=2)
    assert vocabulary.tokens == ("c", "a", "b")


def test_index_layout() -> None:
    vocabulary = Vocabulary(("a", "b"), oov_buckets=3)
    assert vocabulary.first_token_index == 4
    assert vocabulary.num_indices == 1 + 3 + 2


@given(first=counts, second=counts)
def test_growth_appends_and_keeps_every_index(first: dict[str, int], second: dict[str, int]) -> None:
    old = Vocabulary(()).grow(first)
    new = old.grow(second)
    assert new.tokens[: len(old.tokens)] == old.tokens
    assert set(new.tokens) == set(first) | set(second)
    assert len(set(new.tokens)) == len(new.tokens)


@given(counts=counts)
def test_write_then_read(counts: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("vocabulary") / "v.txt"
    vocabulary = Vocabulary(()).grow(counts)
    vocabulary.write(path)
    assert Vocabulary.read(path) == vocabulary
    assert Vocabulary.read(path).fingerprint() == vocabulary.fingerprint()


@pytest.mark.parametrize("content", [b"a\na\n", b"a\n\nb\n", b"\xff\xfe\n"])
def test_broken_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "v.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="recstack prepare"):
        Vocabulary.read(path)


def test_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="recstack prepare"):
        Vocabulary.read(tmp_path / "none.txt")
