"""Histogram of times in at most 65,536 intervals, so that the launcher can merge those of any dataset."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pipelines.workspace import read_arrow, write_arrow

_MAX_INTERVALS = 1 << 16
_LOG2_SECONDS = b"log2_seconds"


@dataclass(frozen=True, kw_only=True)
class TimeHistogram:
    """Events per interval of a power of two seconds. Merging histograms gives the histogram of all their events."""

    log2_seconds: int
    """Binary logarithm of the interval's length in seconds."""
    intervals: tuple[int, ...]
    """Intervals with events, ascending: seconds since 1970-01-01 UTC divided by the interval's length."""
    counts: tuple[int, ...]
    """Number of events in each interval."""

    @classmethod
    def of(cls, seconds: npt.NDArray[np.int64]) -> "TimeHistogram":
        """Counts events.

        Args:
            seconds: `[n] int64` since 1970-01-01 UTC.
        """
        return _histogram(0, seconds, np.ones(len(seconds), np.int64))

    @classmethod
    def merged(cls, parts: Iterable["TimeHistogram"]) -> "TimeHistogram":
        """The histogram of all parts' events."""
        several = list(parts)
        coarsest = max(part.log2_seconds for part in several)
        intervals = [np.array(p.intervals, np.int64) >> (coarsest - p.log2_seconds) for p in several]
        counts = [np.array(part.counts, np.int64) for part in several]
        return _histogram(coarsest, np.concatenate(intervals), np.concatenate(counts))

    def coarsened(self, max_intervals: int) -> "TimeHistogram":
        """The same events in at most `max_intervals` intervals."""
        intervals, counts = np.array(self.intervals, np.int64), np.array(self.counts, np.int64)
        return _histogram(self.log2_seconds, intervals, counts, max_intervals)

    def write(self, path: Path) -> None:
        """Stores the histogram for the launcher."""
        table = pa.table({"interval": pa.array(self.intervals, pa.int64()), "count": pa.array(self.counts, pa.int64())})
        write_arrow(path, table.replace_schema_metadata({_LOG2_SECONDS: str(self.log2_seconds)}))

    @classmethod
    def read(cls, path: Path) -> "TimeHistogram":
        """Reads what `write` stored."""
        table = read_arrow(path)
        return cls(
            log2_seconds=int(table.schema.metadata[_LOG2_SECONDS]),
            intervals=tuple(table.column("interval").to_pylist()),
            counts=tuple(table.column("count").to_pylist()),
        )

    @property
    def total(self) -> int:
        """Number of all events."""
        return sum(self.counts)

    def cut(self, share: float) -> int:
        """The first second of the latest `share` of the events.

        Returns:
            Seconds since 1970-01-01 UTC, at the start of the interval that comes nearest to the share. With a share of
            0 it is after the last event.
        """
        if not self.counts:
            return 0
        later = np.concatenate([np.cumsum(self.counts[::-1])[::-1], [0]])
        nearest = int(np.argmin(np.abs(later - share * self.total)[::-1]))
        position = len(self.counts) - nearest
        first = self.intervals[position] if position < len(self.intervals) else self.intervals[-1] + 1
        return first << self.log2_seconds


def _histogram(
    log2_seconds: int,
    intervals: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    max_intervals: int = _MAX_INTERVALS,
) -> TimeHistogram:
    if not len(intervals):
        return TimeHistogram(log2_seconds=log2_seconds, intervals=(), counts=())
    shift = 0
    low, high = int(intervals.min()), int(intervals.max())
    while (high >> shift) - (low >> shift) >= max_intervals:
        shift += 1
    first = low >> shift
    sums = np.bincount((intervals >> shift) - first, weights=counts)
    filled = np.flatnonzero(sums)
    return TimeHistogram(
        log2_seconds=log2_seconds + shift,
        intervals=tuple((filled + first).tolist()),
        counts=tuple(sums[filled].astype(np.int64).tolist()),
    )
