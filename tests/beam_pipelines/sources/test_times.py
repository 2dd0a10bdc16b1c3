from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.config import TableSource
from beam_pipelines.sources.times import to_seconds

_NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
_SECONDS = int(_NOON.timestamp())


def seconds(array: pa.Array, timestamp_format: str = "s", time_zone: str = "UTC") -> list[int | None]:
    return to_seconds(array, TableSource(timestamp_format=timestamp_format, time_zone=time_zone)).to_pylist()


@pytest.mark.parametrize(("unit", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@pytest.mark.parametrize("kind", ["int64", "float64", "string", "timestamp"])
def test_every_unit_is_rounded_down_to_seconds(unit: str, per_second: int, kind: str) -> None:
    value = _SECONDS * per_second + per_second // 2
    if kind == "timestamp":
        array = pa.array([value, None], pa.int64()).cast(pa.timestamp(unit))
    else:
        array = pa.array([value, None], pa.int64()).cast(getattr(pa, kind)(), safe=False)
    assert seconds(array, unit) == [_SECONDS, None]


def test_times_before_1970_are_rounded_down_too() -> None:
    assert seconds(pa.array([-1]), "ms") == [-1]


@pytest.mark.parametrize(
    "text",
    [
        "2026-07-01T12:00:00Z",
        "2026-07-01 12:00:00.999999",
        "2026-07-01T12:00",
        "2026-07-01T14:00:00+02:00",
        "2026-07-01 07:00-0500",
        " 2026-07-01T12:00:00Z ",
    ],
)
def test_iso_8601_in_its_usual_forms(text: str) -> None:
    assert seconds(pa.array([text, "2026-02-31", "yesterday", ""]), "iso8601") == [_SECONDS, None, None, None]


@given(st.datetimes(datetime(1970, 1, 2), datetime(2099, 1, 1)), st.integers(-12, 14))
def test_iso_8601_agrees_with_python(moment: datetime, hours: int) -> None:
    zoned = moment.replace(microsecond=0, tzinfo=timezone(timedelta(hours=hours)))
    assert seconds(pa.array([zoned.isoformat()]), "iso8601") == [int(zoned.timestamp())]


def test_times_without_a_zone_are_read_in_the_source_s_zone() -> None:
    two_hours_earlier = [_SECONDS - 7200]
    assert seconds(pa.array(["2026-07-01T12:00:00"]), "iso8601", "Europe/Berlin") == two_hours_earlier
    assert seconds(pa.array([datetime(2026, 7, 1, 12)]), time_zone="Europe/Berlin") == two_hours_earlier
    assert seconds(pa.array(["01/07/2026 12:00"]), "%d/%m/%Y %H:%M", "Europe/Berlin") == two_hours_earlier
    assert seconds(pa.array(["2026-07-01T12:00:00Z"]), "iso8601", "Europe/Berlin") == [_SECONDS]


def test_an_hour_that_the_clock_shows_twice_is_the_earlier_one() -> None:
    # Berlin, 2026-10-25: 02:30 comes at 00:30 UTC and again at 01:30 UTC.
    earlier = int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp())
    assert seconds(pa.array(["2026-10-25T02:30:00"]), "iso8601", "Europe/Berlin") == [earlier]


def test_dates_are_their_midnight() -> None:
    midnight = int(datetime(2026, 7, 1, tzinfo=UTC).timestamp())
    assert seconds(pa.array([date(2026, 7, 1), None])) == [midnight, None]
    assert seconds(pa.array([20260701]), "%Y%m%d") == [midnight]


def test_what_is_no_number_is_no_time() -> None:
    assert seconds(pa.array(["12", "twelve", None, "1e", "12.7", "1.2e3"])) == [12, None, None, None, 12, 1200]
    assert seconds(pa.array([float("nan"), 1e300, float("inf"), 7.9])) == [None, None, None, 7]


def test_a_column_that_cannot_hold_a_time_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="bool"):
        seconds(pa.array([True]))
