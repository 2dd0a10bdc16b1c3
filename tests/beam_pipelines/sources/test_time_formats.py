"""A format is guessed right when it reads the times that were written with it."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from beam_pipelines.config import TableSource
from beam_pipelines.sources.time_formats import PATTERNS, guess_time_format
from beam_pipelines.sources.times import to_seconds

MOMENTS = [datetime(2024, 12, 3, 4, 5, 6, tzinfo=UTC) + timedelta(hours=37 * n, seconds=n) for n in range(60)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_each_pattern_is_found_in_what_it_wrote(pattern: str) -> None:
    texts = pa.array([moment.strftime(pattern) for moment in MOMENTS])
    found = guess_time_format(texts)
    assert found is not None
    source = TableSource(path="-", timestamp_format=found.name)
    expected = [datetime.strptime(text, pattern).replace(tzinfo=UTC) for text in texts.to_pylist()]
    assert to_seconds(texts, source).to_pylist() == [int(moment.timestamp()) for moment in expected]


@pytest.mark.parametrize(("unit", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@pytest.mark.parametrize("as_text", [False, True])
def test_the_unit_follows_from_the_size_of_the_numbers(unit: str, per_second: int, as_text: bool) -> None:
    numbers = [int(moment.timestamp()) * per_second for moment in MOMENTS]
    found = guess_time_format(pa.array(list(map(str, numbers)) if as_text else numbers))
    assert found is not None
    assert (found.name, found.is_order) == (unit, False)


def test_iso_texts_and_time_types_need_no_pattern() -> None:
    for texts in ([m.isoformat() for m in MOMENTS], [m.strftime("%Y-%m-%d") for m in MOMENTS]):
        found = guess_time_format(pa.array(texts))
        assert found is not None
        assert found.name == "iso8601"
    typed = guess_time_format(pa.array(MOMENTS, pa.timestamp("us", "UTC")))
    assert typed is not None
    assert typed.name == ""


def test_small_numbers_are_an_order() -> None:
    found = guess_time_format(pa.array([1, 2, 3, 4]))
    assert found is not None
    assert found.is_order


def test_missing_times_do_not_hide_the_format() -> None:
    found = guess_time_format(pa.array(["01.12.2025", "", "NaT", None, "31.12.2025"]))
    assert found is not None
    assert found.name == "%d.%m.%Y"


def test_days_and_months_that_cannot_be_told_apart_are_told() -> None:
    unclear = guess_time_format(pa.array(["01/02/2024", "03/04/2024"]))
    clear = guess_time_format(pa.array(["01/02/2024", "03/25/2024"]))
    assert unclear is not None
    assert clear is not None
    assert {unclear.name, unclear.alternative} == {"%d/%m/%Y", "%m/%d/%Y"}
    assert (clear.name, clear.alternative) == ("%m/%d/%Y", "")


@pytest.mark.parametrize("values", [["red", "green"], ["12 apples"], [0.25, 0.5], [-3, 5], [True, False], [None, None]])
def test_what_is_no_time_is_none(values: list) -> None:
    assert guess_time_format(pa.array(values)) is None
