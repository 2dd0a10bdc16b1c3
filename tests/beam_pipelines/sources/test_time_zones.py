"""One moment in every notation of a zone is one second."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.config import TableSource
from beam_pipelines.sources.time_formats import guess_time_format
from beam_pipelines.sources.times import to_seconds

PATTERNS = [
    "iso8601",
    "%a %b %d %H:%M:%S %z %Y",
    "%a, %d %b %Y %H:%M:%S %z",
    "%d/%b/%Y:%H:%M:%S %z",
    "%d.%m.%Y %H:%M:%S %z",
    "%m/%d/%Y %I:%M:%S %p %z",
]
MOMENTS = [datetime(2014, 1, 13, tzinfo=UTC) + timedelta(seconds=9_876_543 * n) for n in range(40)]
ZONES = ["UTC", "GMT", "Z", "EST", "CET", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kolkata"]
HOURS = {"EST": -5, "CET": 1}


def seconds(texts: list[str], pattern: str) -> list[int | None]:
    return to_seconds(pa.array(texts), TableSource(path="-", timestamp_format=pattern)).to_pylist()


def written(moment: datetime, pattern: str, zone: str) -> str:
    if pattern == "iso8601":
        return f"{moment:%Y-%m-%d %H:%M:%S} {zone}"
    return moment.strftime(pattern.replace("%z", zone))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("zone", ZONES)
def test_names_and_abbreviations(pattern: str, zone: str) -> None:
    place = timezone(timedelta(hours=HOURS.get(zone, 0))) if "/" not in zone else ZoneInfo(zone)
    texts = [written(moment.astimezone(place), pattern, zone) for moment in MOMENTS]
    assert seconds(texts, pattern) == [int(moment.timestamp()) for moment in MOMENTS]


@given(st.sampled_from(PATTERNS), st.integers(-14 * 4, 14 * 4), st.sampled_from(["{}{:02}:{:02}", "{}{:02}{:02}"]))
def test_offsets(pattern: str, quarters: int, form: str) -> None:
    hours, rest = divmod(abs(quarters), 4)
    zone = form.format("-" if quarters < 0 else "+", hours, 15 * rest)
    place = timezone(timedelta(minutes=15 * quarters))
    texts = [written(moment.astimezone(place), pattern, zone) for moment in MOMENTS]
    assert seconds(texts, pattern) == [int(moment.timestamp()) for moment in MOMENTS]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("zone", ["XYZ", "Mars/Olympus", ""])
def test_a_zone_that_nobody_knows_is_no_time(pattern: str, zone: str) -> None:
    found = seconds([written(MOMENTS[0], pattern, zone)], pattern)
    # ISO times without a zone are of the table's zone.
    assert found == [int(MOMENTS[0].timestamp()) if pattern == "iso8601" and not zone else None]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("zone", ["+0000", "-03:30", "UTC"])
def test_the_notation_is_found(pattern: str, zone: str) -> None:
    found = guess_time_format(pa.array([written(moment, pattern, zone) for moment in MOMENTS]))
    assert found is not None
    assert seconds([written(MOMENTS[3], pattern, "UTC")], found.name) == [int(MOMENTS[3].timestamp())]


@pytest.mark.parametrize("share", [0.4, 0.5, 0.6])
def test_the_unit_is_that_of_most_values(share: float) -> None:
    size = 100
    values = [1_700_000_000 + n if n < share * size else 1000 * (1_700_000_000 + n) for n in range(size)]
    found = guess_time_format(pa.array(values))
    assert found is not None
    assert (found.name, found.share) == ("s", share) if share > 0.5 else found.share == max(share, 1 - share)


def test_numbers_of_no_unit_are_no_times() -> None:
    # Nanoseconds of 2035: identifiers are as large.
    assert guess_time_format(pa.array([2_053_013_555_631_882_655 + n for n in range(50)])) is None
    assert guess_time_format(pa.array([10**14 * n for n in range(1, 50)])) is None
