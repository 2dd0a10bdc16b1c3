"""Histories of different lengths in rows of one width, so that no work is done on padding."""

import numpy as np

from trainer.data.events import EncodedEvents, Int64


def stretches(events: EncodedEvents, length: int) -> tuple[Int64, Int64]:
    """Cuts each record, from its end, into stretches of at most `length + 1` events.

    Args:
        events: Encoded events of the training split.
        length: items of a history, at most.

    Returns:
        First event and number of events of each stretch of two or more: a single event has nothing before it.
    """
    starts, sizes = [], []
    for end, first in zip(events.record_splits[1:], events.record_splits[:-1], strict=True):
        while end - first >= 2:
            start = max(first, end - length - 1)
            starts.append(start)
            sizes.append(end - start)
            # The event before a stretch is its first target's history, so stretches share one event.
            end = start + 1 if start > first else first
    return np.array(starts, np.int64), np.array(sizes, np.int64)


def row_width(sizes: Int64) -> int:
    """Places of a row: the longest stretch, but room for a few of the usual ones too."""
    return int(max(sizes.max(), min(4 * np.median(sizes), 64)))


def pack(starts: Int64, sizes: Int64, width: int, generator: np.random.Generator) -> Int64:
    """Puts stretches into rows, the longest first, each row filled up with the longest that still fits.

    Args:
        starts: `[n]`, first event of each stretch.
        sizes: `[n]`, events of each stretch, at most `width`.
        width: places of a row.
        generator: which of the stretches of a length comes where, and the order of the rows.

    Returns:
        `[rows, width, 2]`: events and their positions in their stretches; 0 and -1 for padding. The number of rows
        depends on the sizes alone.
    """
    shuffled = generator.permutation(len(starts))
    order = shuffled[np.argsort(sizes[shuffled], kind="stable")]
    bounds = np.searchsorted(sizes[order], np.arange(width + 2))
    left = [list(order[bounds[size] : bounds[size + 1]]) for size in range(width + 1)]
    rows, places, members = [], [], []
    row = -1
    remaining = len(order)
    while remaining:
        row, place, size = row + 1, 0, width
        while size > 0:
            size = min(size, width - place)
            if not left[size]:
                size -= 1
                continue
            rows.append(row)
            places.append(place)
            members.append(left[size].pop())
            place += size
            remaining -= 1
    return _fill(np.array(rows), np.array(places), starts[members], sizes[members], width, generator)


def _fill(rows: Int64, places: Int64, starts: Int64, sizes: Int64, width: int, generator: np.random.Generator) -> Int64:
    packed = np.tile(np.array([0, -1], np.int64), (int(rows.max()) + 1, width, 1))
    step = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    events = np.repeat(starts, sizes) + step
    packed[np.repeat(rows, sizes), np.repeat(places, sizes) + step] = np.stack([events, step], axis=1)
    return generator.permutation(packed, axis=0)
