"""Whether the times of a whole table make sense: what no single row tells."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

_DAY, _YEAR = 86_400, 31_556_952
_LATEST = 253_402_300_799
# Before 1990 a time is an order of events, a missing time, or in another unit.
_EARLIEST = 631_152_000
_FEW = 0.01
_MOST_IN_A_CYCLE, _SHARED = 31, 0.1


@dataclass(frozen=True, kw_only=True)
class TimeSummary:
    """Times of some rows, in seconds since 1970-01-01 UTC."""

    total: int = 0
    """Rows."""
    first_day: int = 0
    """Times of the first day of 1970: what a missing time becomes."""
    early: int = 0
    """Times before 1990, those of the first day included."""
    future: int = 0
    """Times more than a day after now."""
    minimum: int = 0
    """The earliest time; 0 without rows."""
    maximum: int = 0
    """The latest time; 0 without rows."""

    @classmethod
    def of(cls, seconds: npt.NDArray[np.int64], now: float) -> "TimeSummary":
        """Summarises `[rows]` times; `now` is in seconds since 1970-01-01 UTC."""
        if not len(seconds):
            return cls()
        return cls(
            total=len(seconds),
            first_day=int((seconds < _DAY).sum()),
            early=int((seconds < _EARLIEST).sum()),
            future=int((seconds > now + _DAY).sum()),
            minimum=int(seconds.min()),
            maximum=int(seconds.max()),
        )

    @classmethod
    def merged(cls, parts: Iterable["TimeSummary"]) -> "TimeSummary":
        """The summary of all parts' rows."""
        several = [part for part in parts if part.total]
        if not several:
            return cls()
        counts = {name: sum(getattr(p, name) for p in several) for name in ("total", "first_day", "early", "future")}
        bounds = {"minimum": min(p.minimum for p in several), "maximum": max(p.maximum for p in several)}
        return cls(**counts, **bounds)

    @property
    def is_order(self) -> bool:
        """Whether nearly all are small numbers: positions of events, not moments."""
        return self.early >= (1 - _FEW) * self.total


def may_be_cycle(times: TimeSummary, shared: int) -> bool:
    """Whether an order may be of hours or days: numbers up to 31 that events of one user have in common.

    So may the numbers of a user's orders; only their name tells.

    Args:
        times: of the whole table.
        shared: events with the same time as another event of the user.
    """
    return times.is_order and times.minimum < times.maximum <= _MOST_IN_A_CYCLE and shared > _SHARED * times.total


def implausible_times(summary: TimeSummary) -> Sequence[str]:
    """What is wrong with a column of times, in words; empty where nothing is."""
    found = []
    early, total = summary.early, max(summary.total, 1)
    if not summary.is_order and summary.first_day > _FEW * total:
        found.append(
            f"{summary.first_day:,} of {total:,} times lie in the first day of 1970: missing times "
            "that were written as 0"
        )
    elif not summary.is_order and early > _FEW * total:
        found.append(
            f"{early:,} of {total:,} times lie before 1990, the earliest on {day(summary.minimum)}, and the others do "
            "not: some are in another unit than `timestamp_format` says"
        )
    if summary.future > _FEW * total:
        found.append(
            f"{summary.future:,} of {total:,} times lie in the future, the latest on {day(summary.maximum)}: "
            "the column or `timestamp_format` is wrong"
        )
    return found


def day(second: int) -> str:
    """The day of a moment, UTC."""
    if second > _LATEST:
        return f"a day of the year {1970 + second // _YEAR:,}"
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d}"


def moment(second: int) -> str:
    """A moment for a message, UTC."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}"
