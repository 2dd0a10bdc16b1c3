"""How often items were taken, as of a moment: what the log knew when a query was asked."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.data.events import Float32, Int32, Int64

_DAY = 86_400
_WINDOWS = (7, 30, 120)
ITEM_COLUMNS = ("log_events", *(f"log_events_{days}_days" for days in _WINDOWS))
"""Log counts of all events of an item, and of those of the last days."""


@dataclass(frozen=True, kw_only=True)
class ItemCounts:
    """The events that are counted."""

    rows: Int64
    """`[events]`: rows of the catalogue."""
    times: Int64
    """`[events]`: seconds since 1970-01-01 UTC."""
    num_items: int
    """Rows of the catalogue."""

    def columns(self) -> dict[str, npt.NDArray[np.float32]]:
        """Each of `ITEM_COLUMNS` for all items, `[items] float32`; the last days are those before the newest event."""
        end = self.times.max(initial=0)
        counts = [np.bincount(self.rows, minlength=self.num_items)]
        for days in _WINDOWS:
            recent = self.rows[self.times > end - days * _DAY]
            counts.append(np.bincount(recent, minlength=self.num_items))
        return {
            name: np.log1p(of_items).astype(np.float32) for name, of_items in zip(ITEM_COLUMNS, counts, strict=True)
        }


class RefreshedCounts:
    """Counts as of the last refresh before each query: events at that moment or later count for nothing."""

    def __init__(self, counts: ItemCounts, days: float) -> None:
        """Sorts the events.

        Args:
            counts: Of any time; what comes after a refresh is left out.
            days: Between two refreshes, which are at whole multiples of it since 1970-01-01 UTC.
        """
        self._period = max(1, round(days * _DAY))
        self._start, self._end = int(counts.times.min(initial=0)), int(counts.times.max(initial=0)) + 1
        # Items one after the other, the events of each in order of time.
        self._places = np.sort(self._place(counts.rows, counts.times))

    def columns(self, rows: Int32, asked_at: Int64) -> Float32:
        """Each of `ITEM_COLUMNS` for the candidates of queries.

        Args:
            rows: `[lists, C]`: rows of the catalogue, -1 for padding.
            asked_at: `[lists]`: seconds since 1970-01-01 UTC.

        Returns:
            `[lists, C, 4] float32`, 0 for padding.
        """
        refreshed = (asked_at // self._period * self._period)[:, None]
        until = self._before(rows, refreshed)
        since = (np.full_like(refreshed, self._start), *(refreshed - days * _DAY for days in _WINDOWS))
        counts = [until - self._before(rows, moment) for moment in since]
        logs: Float32 = np.log1p(np.stack(counts, axis=-1)).astype(np.float32)
        return np.where(rows[..., None] >= 0, logs, np.float32(0.0))

    def _before(self, rows: Int32, moment: Int64) -> Int64:
        """`[lists, C]`: place of each item's first event at the moment or later, among all events."""
        found: Int64 = np.searchsorted(self._places, self._place(np.maximum(rows, 0).astype(np.int64), moment))
        return found

    def _place(self, rows: Int64, times: Int64) -> Int64:
        place: Int64 = rows * (self._end - self._start + 1) + np.clip(times, self._start, self._end) - self._start
        return place
