"""How often and when items were taken, as of a moment: what the log knew when a query was asked."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.data.events import Float32, Int32, Int64

_DAY = 86_400
_WINDOWS = (1, 3, 7, 14, 30, 120, 365)
ITEM_COLUMNS = (
    "log_events",
    *(f"log_events_{days}_days" for days in _WINDOWS),
    "log_days_known",
    "log_days_untaken",
    "repeated_share",
)
"""Log counts of all events of an item, and of those of the last days; the logs of 1 + the days since its first and its
last event; and the share of the events whose user had the item before, drawn towards 0 where there are few. All are 0
for an item without events."""
# As if each item had so many more events, all by new users: few events say little.
_PRIOR = 5.0
# A list of 300 takes some 60 KB of intermediate results.
_LISTS_A_BLOCK = 1024


@dataclass(frozen=True, kw_only=True)
class ItemCounts:
    """The events that are counted."""

    rows: Int64
    """`[events]`: rows of the catalogue."""
    times: Int64
    """`[events]`: seconds since 1970-01-01 UTC."""
    is_repeated: npt.NDArray[np.bool_]
    """`[events]`: whether the user had the item before."""
    num_items: int
    """Rows of the catalogue."""

    def columns(self, refresh_days: float = 0.0) -> dict[str, npt.NDArray[np.float32]]:
        """Each of `ITEM_COLUMNS` for all items, `[items] float32`.

        Args:
            refresh_days: Days between two refreshes: counts are as of the first one after the newest event, as for the
                queries that follow it; 0 counts as of that event, which counts.
        """
        rows, period = np.arange(self.num_items, dtype=np.int32)[None], _seconds(refresh_days)
        moment = -(-(self.times.max(initial=0)[None] + 1) // period) * period
        values = CountsAsOf(self).columns(rows, moment)[0]
        return dict(zip(ITEM_COLUMNS, values.T, strict=True))


class CountsAsOf:
    """Counts as of any moment: events at that moment or later count for nothing."""

    def __init__(self, counts: ItemCounts) -> None:
        """Sorts the events."""
        self._events = _Places(counts.rows, counts.times)
        self._repeats = _Places(counts.rows[counts.is_repeated], counts.times[counts.is_repeated])

    def columns(self, rows: Int32, moments: Int64) -> Float32:
        """Each of `ITEM_COLUMNS` for the candidates of queries.

        Args:
            rows: `[lists, C]`: rows of the catalogue, -1 for padding.
            moments: `[lists]`: seconds since 1970-01-01 UTC.

        Returns:
            `[lists, C, columns] float32`, 0 for padding.
        """
        moment, items = moments[:, None], np.maximum(rows, 0).astype(np.int64)
        since: list[Int64 | int] = [self._events.start, *(moment - days * _DAY for days in _WINDOWS)]
        counts = [self._events.between(items, start, moment) for start in since]
        first, last = self._events.ends(items, moment)
        repeats = self._repeats.between(items, self._repeats.start, moment)
        columns = [
            *np.log1p(counts),
            *(np.log1p(np.maximum(moment - time, 0) / _DAY) for time in (first, last)),
            repeats / (counts[0] + _PRIOR),
        ]
        is_counted = (rows >= 0) & (counts[0] > 0)
        return np.where(is_counted[..., None], np.stack(columns, axis=-1), 0.0).astype(np.float32)

    def log_events(self, rows: Int64, moments: Int64) -> Float32:
        """The first of `ITEM_COLUMNS` of some items at each of some moments.

        Args:
            rows: `[n]`: rows of the catalogue.
            moments: `[moments]`: seconds since 1970-01-01 UTC.

        Returns:
            `[moments, n] float32`.
        """
        counts = [self._events.between(rows, self._events.start, moment) for moment in moments[:, None]]
        return np.log1p(np.stack(counts)).astype(np.float32)


class RefreshedCounts:
    """Counts as of the last refresh before each query: events at that moment or later count for nothing."""

    def __init__(self, counts: ItemCounts, days: float) -> None:
        """Sorts the events.

        Args:
            counts: Of any time; what comes after a refresh is left out.
            days: Between two refreshes, which are at whole multiples of it since 1970-01-01 UTC.
        """
        self._period = _seconds(days)
        self._counts = CountsAsOf(counts)

    def columns(self, rows: Int32, asked_at: Int64) -> Float32:
        """`CountsAsOf.columns` at the last refresh before each query, which is asked at `[lists]` seconds."""
        moments, starts = self._moments(asked_at), range(0, len(rows), _LISTS_A_BLOCK)
        blocks = [slice(start, start + _LISTS_A_BLOCK) for start in starts] or [slice(0)]
        return np.concatenate([self._counts.columns(rows[block], moments[block]) for block in blocks])

    def log_events(self, rows: Int64, asked_at: Int64) -> tuple[Float32, Int64]:
        """`CountsAsOf.log_events` at each refresh that matters.

        Args:
            rows: `[n]`: rows of the catalogue.
            asked_at: `[queries]`: seconds since 1970-01-01 UTC.

        Returns:
            `[refreshes, n] float32`, and `[queries]`: which refresh was the last one before the query.
        """
        moments, moment_of = np.unique(self._moments(asked_at), return_inverse=True)
        return self._counts.log_events(rows, moments), moment_of

    def _moments(self, asked_at: Int64) -> Int64:
        moments: Int64 = asked_at // self._period * self._period
        return moments


def _seconds(days: float) -> int:
    """Whole seconds, at least one."""
    return max(1, round(days * _DAY))


class _Places:
    """Events sorted by item and time, so that those of an item up to a moment are found by a search."""

    def __init__(self, rows: Int64, times: Int64) -> None:
        self.start, self._end = int(times.min(initial=0)), int(times.max(initial=0)) + 1
        # Items one after the other, the events of each in order of time.
        self._places = np.sort(self._place(rows, times))

    def between(self, items: Int64, start: Int64 | int, end: Int64) -> Int64:
        """`[lists, C]`: how many events the items have from `start` on and before `end`."""
        count: Int64 = np.maximum(self._before(items, end) - self._before(items, start), 0)
        return count

    def ends(self, items: Int64, moment: Int64) -> tuple[Int64, Int64]:
        """Times of each item's first event and of its last one before the moment; any time where there is none."""
        first, last = self._before(items, self.start), np.maximum(self._before(items, moment) - 1, 0)
        return self._time(first), self._time(last)

    def _before(self, items: Int64, moment: Int64 | int) -> Int64:
        """Place of each item's first event at the moment or later, among all events."""
        found: Int64 = np.searchsorted(self._places, self._place(items, moment))
        return found

    def _place(self, items: Int64, moment: Int64 | int) -> Int64:
        place: Int64 = items * (self._end - self.start + 1) + np.clip(moment, self.start, self._end) - self.start
        return place

    def _time(self, places: Int64) -> Int64:
        if len(self._places) == 0:
            return np.zeros_like(places)
        found: Int64 = self._places[np.minimum(places, len(self._places) - 1)] % (self._end - self.start + 1)
        return found + self.start
