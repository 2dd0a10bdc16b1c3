"""Numbers in every notation come back as what was written; what may be two numbers is refused."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.sources.numbers import guess_decimal, parse_numbers

CENTS = st.integers(-(10**9), 10**9)
SIGNS = ["{}", "$ {}", "{} €", "£{}", "USD {}", "{} EUR", " {} ", "R$ {}", "{} zł"]


def written(cents: int, *, mark: str, group: str) -> str:
    whole, rest = divmod(abs(cents), 100)
    grouped = f"{whole:,}".replace(",", group)
    return f"{'-' if cents < 0 else ''}{grouped}{mark}{rest:02}"


@given(st.lists(CENTS, min_size=1, max_size=20), st.sampled_from([".", ","]), st.sampled_from(["", "'", " ", "other"]))
def test_either_mark_and_any_grouping_are_read(cents: list[int], mark: str, group: str) -> None:
    other = {".": ",", ",": "."}[mark]
    texts = [written(value, mark=mark, group=other if group == "other" else group) for value in cents]
    found = parse_numbers(pa.array(texts), mark)
    np.testing.assert_allclose(found.values, np.array(cents) / 100)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("mark", [".", ","])
def test_currency_signs_do_not_matter(sign: str, mark: str) -> None:
    texts = [sign.format(written(cents, mark=mark, group="")) for cents in (0, 5, 1234, 999_999)]
    np.testing.assert_allclose(parse_numbers(pa.array(texts), mark).values, [0, 0.05, 12.34, 9999.99])


@pytest.mark.parametrize("text", ["1,234", "4,5", "-12,50", "3,5 €"])
def test_a_lone_comma_is_not_guessed(text: str) -> None:
    found = parse_numbers(pa.array([text]))
    assert found.unreadable.to_pylist() == [True]
    assert found.ambiguous.to_pylist() == ["€" not in text]


@pytest.mark.parametrize(("text", "value"), [("1,234,567", 1234567), ("1,234.5", 1234.5), ("1.234,5", 1234.5)])
def test_a_comma_that_can_only_mean_one_thing_is_read(text: str, value: float) -> None:
    assert parse_numbers(pa.array([text])).values.tolist() == [value]


@pytest.mark.parametrize("text", ["x", "--1", "1..2", "1.5.2", "$", "€ x", "+-3", "1e", "12 34", "0x1", "1/2", "inf"])
@pytest.mark.parametrize("mark", ["", ".", ","])
def test_what_is_no_number_is_told(text: str, mark: str) -> None:
    found = parse_numbers(pa.array([text]), mark)
    assert found.unreadable.to_pylist() == [True]
    assert np.isnan(found.values).all()


@given(st.lists(st.text(max_size=12), max_size=20), st.sampled_from(["", ".", ","]))
def test_each_text_is_a_number_or_missing_or_unreadable(texts: list[str], mark: str) -> None:
    found = parse_numbers(pa.array(texts, pa.string()), mark)
    missing = np.array([text.strip().lower() in ("", "nan") for text in texts], bool)
    unreadable = found.unreadable.to_numpy(zero_copy_only=False)
    assert (np.isnan(found.values) == (missing | unreadable))[~missing].all()


@pytest.mark.parametrize(
    ("texts", "mark"), [(["1", "2.5"], ""), (["1,5", "2"], ","), (["1,234", "5.5"], "."), (["1.234,5", "7,1"], ",")]
)
def test_the_mark_that_reads_most_is_proposed(texts: list[str], mark: str) -> None:
    assert guess_decimal(pa.array(texts)) == mark
