"""Guesses the format of a column of times: a unit or a pattern."""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import TableSource
from beam_pipelines.sources.time_zones import ZONE
from beam_pipelines.sources.times import to_seconds

_ZONE_AFTER_CLOCK = rf"\d{{2}}:\d{{2}}.* {ZONE}( \d{{4}})?$"
# Texts in place of a missing time.
NO_TIME = r"^(?i:\s*|nan|nat|na|n/a|null|none)$"

_DATES = ("%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y.%m.%d", "%d-%m-%Y", "%m-%d-%Y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %I:%M:%S %p", " %I:%M %p")
_OTHERS = (
    *("%Y%m%d", "%Y%m%d%H%M%S", "%Y%m%d %H:%M:%S", "%Y%m%dT%H%M%S", "%Y-%m-%d %H-%M-%S"),
    *("%d %b %Y", "%d %b %Y %H:%M:%S", "%d-%b-%Y", "%b %d, %Y", "%b %d, %Y %H:%M:%S", "%a %b %d %H:%M:%S %Y"),
    *("%m %d, %Y", "%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d %I:%M %p"),
)
_WITH_ZONE = (
    *("%a %b %d %H:%M:%S %z %Y", "%a, %d %b %Y %H:%M:%S %z", "%d %b %Y %H:%M:%S %z", "%d/%b/%Y:%H:%M:%S %z"),
    *(f"{date}{clock} %z" for date in _DATES for clock in _CLOCKS if clock),
)
PATTERNS = (*(date + clock for date in _DATES for clock in _CLOCKS), *_OTHERS)

# Seconds between which a number is taken for a moment: from 1990 to a year ahead. Before, it may as well be a position;
# later, an identifier.
_EARLIEST, _AHEAD = 631_152_000, 366 * 86_400
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# Dates as numbers, such as 20261124, and how many units of the number a day is.
_DIGITS = {"%Y%m%d": 1, "%Y%m%d%H%M%S": 10**6}
_FIRST_DAY, _LAST_DAY = 19_000_101, 21_001_232
_LOOKED_AT = 5_000
_DIGITS_OF_INT64 = 18
_MOST, _SOME = 0.97, 0.3


@dataclass(frozen=True)
class TimeFormat:
    """A guessed format."""

    name: str
    """A `timestamp_format` of the configuration; empty if the column has a time type."""
    is_order: bool = False
    """Whether these are small numbers, which order events but are no moments."""
    alternative: str = ""
    """Another pattern that parses as many values, such as months before days."""
    share: float = 1.0
    """Of the values, that are moments in this unit, from 1990 to a year ahead."""


def guess_time_format(values: pa.Array) -> TimeFormat | None:
    """Guesses the format of a column, or returns None if it holds no times.

    Args:
        values: `[rows]` of any type, null where missing.
    """
    present = values.drop_null()
    if len(present) == 0:
        return None
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        return TimeFormat("")
    if pa.types.is_string(values.type):
        return _of_texts(present.filter(pc.invert(pc.match_substring_regex(present, NO_TIME))))
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return _of_numbers(present)
    return None


def _of_numbers(values: pa.Array) -> TimeFormat | None:
    numbers = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) == 0 or numbers.min() < 0:
        return None
    for pattern, units in _DIGITS.items():
        if np.mean((numbers / units >= _FIRST_DAY) & (numbers / units <= _LAST_DAY)) >= _MOST:
            read = _read(values, pattern)
            if len(read) >= _MOST * len(values):
                return TimeFormat(pattern)
    of_units = {name: _are_moments(numbers / units) for name, units in _UNITS.items()}
    best = max(of_units, key=lambda name: int(of_units[name].sum()))
    share = float(of_units[best].mean())
    # What is no moment in the best unit has to be one in another, or a missing time that was written as 0.
    explained = np.logical_or.reduce([*of_units.values(), numbers == 0])
    if share >= _SOME and explained.mean() >= _MOST:
        return TimeFormat(best, share=share)
    if (numbers < _EARLIEST).all() and (numbers == np.trunc(numbers)).all():
        return TimeFormat("s", is_order=True)
    return None


def _are_moments(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.asarray((seconds >= _EARLIEST) & (seconds < time.time() + _AHEAD))


def _of_texts(texts: pa.StringArray) -> TimeFormat | None:
    if len(texts) == 0:
        return None
    looked_at = texts.take(pa.array(np.linspace(0, len(texts) - 1, min(len(texts), _LOOKED_AT)).astype(np.int64)))
    as_numbers = _numbers(looked_at)
    if as_numbers is not None:
        return _of_numbers(as_numbers)
    has_zones = pc.mean(pc.match_substring_regex(looked_at, _ZONE_AFTER_CLOCK)).as_py() >= _MOST
    readable = {name: _count(looked_at, name) for name in ("iso8601", *PATTERNS, *(_WITH_ZONE if has_zones else ()))}
    best = max(readable, key=lambda name: readable[name])
    if readable[best] < _MOST * len(looked_at):
        return None
    read = {name: _read(texts, name) for name in readable if readable[name] == readable[best]}
    # Of patterns that parse as many of the sample, take the one that parses most of the column; then the one with the
    # shortest span: days in a row that are taken for months lie months apart.
    best, *others = sorted(read, key=lambda name: (-len(read[name]), np.ptp(read[name]) if len(read[name]) else 0))
    ambiguous = others and len(read[others[0]]) == len(read[best]) and not np.array_equal(read[others[0]], read[best])
    return TimeFormat(best, alternative=others[0] if ambiguous else "")


def _numbers(texts: pa.StringArray) -> pa.Array | None:
    """The texts as numbers if nearly all of them are numbers."""
    is_number = pc.match_substring_regex(texts, r"^\s*\d+(\.\d*)?\s*$")
    if pc.sum(is_number).as_py() < _MOST * len(texts):
        return None
    trimmed = pc.utf8_trim_whitespace(texts.filter(is_number))
    whole = (
        pc.max(pc.utf8_length(trimmed)).as_py() <= _DIGITS_OF_INT64
        and not pc.any(pc.match_substring(trimmed, ".")).as_py()
    )
    return pc.cast(trimmed, pa.int64() if whole else pa.float64())


def _count(texts: pa.StringArray, name: str) -> int:
    try:
        return len(_read(texts, name))
    except pa.ArrowException:
        return 0


def _read(values: pa.Array, name: str) -> npt.NDArray[np.int64]:
    seconds = to_seconds(values, TableSource(path="-", timestamp_format=name)).drop_null()
    return np.asarray(seconds.to_numpy(zero_copy_only=False))
