"""Times in any notation, to whole seconds since 1970-01-01 UTC."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import TableSource
from beam_pipelines.config.source import ROW_ORDER
from beam_pipelines.sources.time_zones import has_zone, shift_to_utc, take_zones, without_zone

_FRACTION = r"(:\d{2})[.,]\d+"
_UNITS_PER_SECOND = {ROW_ORDER: 1, "s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
# At most as many digits as an int64 can hold.
_WHOLE = r"^\s*-?([0-8]\d{18}|\d{1,18})\s*$"
_DECIMAL = r"^\s*-?\d{1,19}(\.\d*)?([eE][+]?\d{1,2})?\s*$"
# 2026-11-24T03:59:29.123+01:00, with a blank for T, without the fraction, the seconds, the time or the zone.
_ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.]\d{1,9})?)?)?$"
_ISO_WITH_ZONE = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.]\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)$"


def to_seconds(source: pa.Array, how: TableSource) -> pa.Int64Array:
    """Converts a column.

    Args:
        source: numbers, strings, dates or timestamps.
        how: names the format and the time zone.

    Returns:
        `[rows] int64` seconds, rounded down; null if missing or not of the format.

    Raises:
        NotImplementedError: the column's type cannot hold times.
    """
    if pa.types.is_timestamp(source.type):
        return _floor_seconds(_in_utc(source, how.time_zone))
    if pa.types.is_date(source.type):
        return _floor_seconds(_in_utc(pc.cast(source, pa.timestamp("s")), how.time_zone))
    if pa.types.is_string(source.type):
        return _from_text(source, how)
    if not (pa.types.is_integer(source.type) or pa.types.is_floating(source.type)):
        raise NotImplementedError(f"no time in a column of type {source.type}")
    return _from_number(source, how)


def _from_number(source: pa.Array, how: TableSource) -> pa.Int64Array:
    units = _UNITS_PER_SECOND.get(how.timestamp_format)
    if units is None:
        # 20261124 for %Y%m%d.
        return _from_text(pc.cast(source, pa.string()), how)
    if pa.types.is_integer(source.type):
        return _floor_divide(pc.cast(source, pa.int64(), safe=False), units)
    values = pc.cast(source, pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    # Values beyond 2^62 do not fit an int64, and are no time in any unit.
    known = np.abs(np.nan_to_num(values, nan=np.inf)) < 2.0**62
    seconds = np.floor(np.where(known, values, 0.0) / units).astype(np.int64)
    return pa.array(seconds, mask=~known)


def _from_text(text: pa.StringArray, how: TableSource) -> pa.Int64Array:
    units = _UNITS_PER_SECOND.get(how.timestamp_format)
    if units is not None:
        if pc.all(pc.match_substring_regex(text, _WHOLE), min_count=0).as_py():
            return _floor_divide(pc.cast(pc.utf8_trim_whitespace(text), pa.int64()), units)
        readable = pc.match_substring_regex(text, _DECIMAL)
        trimmed = pc.if_else(readable, pc.utf8_trim_whitespace(text), None)
        return _from_number(pc.cast(trimmed, pa.float64()), how)
    if how.timestamp_format == "iso8601":
        return _from_iso(pc.utf8_trim_whitespace(text), how.time_zone)
    return _from_pattern(text, how.timestamp_format, how.time_zone)


def _from_pattern(text: pa.StringArray, pattern: str, time_zone: str) -> pa.Int64Array:
    if "%f" in pattern:
        # What is below a second is dropped: Arrow's own parser does not know it.
        text, pattern = pc.replace_substring_regex(text, _FRACTION, r"\1"), re.sub(r"[.,]%f", "", pattern)
    if has_zone(pattern):
        zoned = take_zones(text, pattern)
        parsed = pc.strptime(zoned.bodies, format=without_zone(pattern), unit="s", error_is_null=True)
        return shift_to_utc(pc.cast(parsed, pa.int64()), zoned.zones)
    parsed = pc.strptime(text, format=pattern, unit="s", error_is_null=True)
    return _floor_seconds(_in_utc(parsed, time_zone))


def _from_iso(text: pa.StringArray, time_zone: str) -> pa.Int64Array:
    zoned = pc.match_substring_regex(text, _ISO_WITH_ZONE)
    plain = pc.match_substring_regex(text, _ISO)
    with_zone = _cast_or_null(pc.if_else(zoned, text, None), pa.timestamp("ns", "UTC"))
    without = _cast_or_null(pc.if_else(plain, text, None), pa.timestamp("ns"))
    seconds = pc.coalesce(_floor_seconds(with_zone), _floor_seconds(_in_utc(without, time_zone)))
    if pc.all(pc.or_(zoned, plain), min_count=0).as_py():
        return seconds
    return pc.coalesce(seconds, _with_written_zone(pc.if_else(pc.or_(zoned, plain), None, text)))


def _with_written_zone(text: pa.StringArray) -> pa.Int64Array:
    """ISO times followed by a zone that Arrow does not know, such as ` UTC`, `+0100` or ` Europe/Berlin`."""
    zoned = take_zones(text, "")
    bodies = pc.if_else(pc.match_substring_regex(zoned.bodies, _ISO), zoned.bodies, None)
    naive = _cast_or_null(bodies, pa.timestamp("ns"))
    return shift_to_utc(_floor_seconds(naive), zoned.zones)


def _cast_or_null(text: pa.StringArray, kind: pa.DataType) -> pa.Array:
    try:
        return pc.cast(text, kind)
    except pa.ArrowInvalid:
        # The pattern allows 31 February; convert one by one to keep the valid ones.
        return pa.array([_one_or_null(value, kind) for value in text], kind)


def _one_or_null(value: pa.Scalar, kind: pa.DataType) -> pa.Scalar:
    try:
        return value.cast(kind)
    except pa.ArrowInvalid:
        return pa.scalar(None, kind)


def _in_utc(times: pa.Array, time_zone: str) -> pa.Array:
    """Interprets times without a zone as wall-clock times of `time_zone`; a repeated hour is the earlier one."""
    if times.type.tz is not None:
        return times
    if time_zone == "UTC":
        return pc.cast(times, pa.timestamp(times.type.unit, "UTC"))
    return pc.assume_timezone(times, time_zone, ambiguous="earliest", nonexistent="earliest")


def _floor_seconds(times: pa.Array) -> pa.Int64Array:
    return _floor_divide(pc.cast(times, pa.int64()), _UNITS_PER_SECOND[times.type.unit])


def _floor_divide(numbers: pa.Int64Array, units: int) -> pa.Int64Array:
    if units == 1:
        return numbers
    missing = numbers.is_null().to_numpy(zero_copy_only=False)
    return pa.array(numbers.fill_null(0).to_numpy(zero_copy_only=False) // units, mask=missing)
