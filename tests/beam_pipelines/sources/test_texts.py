"""Words for missing values and the spelling of ids, one list for every reader."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.config.source import MISSING_WORDS, IdRules
from beam_pipelines.sources.texts import blank_missing, spell_ids, to_texts


@given(st.lists(st.sampled_from([*MISSING_WORDS, "", "u1", "nulls", "Nantes", "NA2"]), max_size=20))
def test_exactly_the_words_are_blanked(texts: list[str]) -> None:
    expected = ["" if text in MISSING_WORDS else text for text in texts]
    assert blank_missing(pa.array(texts, pa.string()), MISSING_WORDS).to_pylist() == expected


@pytest.mark.parametrize(
    ("rules", "spellings"),
    [
        (IdRules(strip=True), ["17", " 17", "17 ", "\t17\u00a0"]),
        (IdRules(float_suffix="drop"), ["17", "17.0", "17.00"]),
        (IdRules(leading_zeros="drop"), ["17", "017", "00017"]),
        (IdRules(case="lower"), ["abc", "ABC", "aBc"]),
        (IdRules(unicode="NFC"), ["caf\u00e9", "cafe\u0301"]),
        (IdRules(unicode="NFKC"), ["42", "\uff14\uff12"]),
    ],
)
def test_spellings_of_one_id_become_one(rules: IdRules, spellings: list[str]) -> None:
    assert len(set(spell_ids(pa.array(spellings), rules).to_pylist())) == 1
    assert spell_ids(pa.array(spellings), IdRules()).to_pylist() == spellings


@pytest.mark.parametrize("text", ["0", "00", "1.05", "a.0", "1.0.0", ""])
def test_what_only_looks_like_another_spelling_stays(text: str) -> None:
    dropped = spell_ids(pa.array([text]), IdRules(float_suffix="drop", leading_zeros="drop")).to_pylist()
    assert dropped == ["0" if text == "00" else text]


@given(st.lists(st.text(max_size=8), max_size=10), st.sampled_from(["NFC", "NFKC"]))
def test_unicode_forms_are_pythons(texts: list[str], form: str) -> None:
    texts = [text for text in texts if not any("\ud800" <= c <= "\udfff" for c in text)]
    expected = [unicodedata.normalize(form, text) for text in texts]
    assert spell_ids(pa.array(texts, pa.string()), IdRules(unicode=form)).to_pylist() == expected


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=10))
def test_ids_are_exact_whatever_their_size(numbers: list[int]) -> None:
    texts, _ = to_texts(pa.array(numbers, pa.int64()))
    assert texts.to_pylist() == list(map(str, numbers))
