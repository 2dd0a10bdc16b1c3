"""Assigns events to splits.

Within a user, no training event is later than a validation event, and no validation event later than a test event.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from beam_pipelines.config import SplitConfig
from beam_pipelines.passes.sorted_events import SortedEvents
from beam_pipelines.passes.time_histogram import TimeHistogram
from features.disk.layout import SPLITS

TRAIN, VALIDATION, TEST = range(len(SPLITS))


@dataclass(frozen=True, kw_only=True)
class TimeCuts:
    """Boundaries of a global time split, in seconds since 1970-01-01 UTC."""

    validation: int
    """First second of validation."""
    test: int
    """First second of the test."""
    end: int
    """First second that is not used: after the last event, or at the end of a fold."""


def time_cuts(times: TimeHistogram, config: SplitConfig) -> TimeCuts:
    """Finds the boundaries that come nearest to the configured shares."""
    beyond = config.fold * config.test
    return TimeCuts(
        validation=times.cut(beyond + config.test + config.validation),
        test=times.cut(beyond + config.test),
        end=times.cut(beyond),
    )


def within_fold(
    events: SortedEvents,
    positive: npt.NDArray[np.bool_],
    times: npt.NDArray[np.int64],
    *,
    config: SplitConfig,
    cuts: TimeCuts,
) -> npt.NDArray[np.bool_]:
    """`[n] bool`: the events that are not later than the fold's test; arguments as for `assign_splits`."""
    if config.fold == 0:
        return np.ones(len(times), bool)
    if config.kind == "global_time":
        return times < cuts.end
    rank, total = _positive_ranks(events, positive)
    later = np.full(len(total), config.fold)
    if config.kind == "per_user_fraction":
        later = np.floor(total * (config.fold * config.test) + 1e-9).astype(np.int64)
    return rank <= np.repeat(total - later, np.diff(events.starts))


def assign_splits(
    events: SortedEvents,
    positive: npt.NDArray[np.bool_],
    times: npt.NDArray[np.int64],
    *,
    config: SplitConfig,
    cuts: TimeCuts,
) -> npt.NDArray[np.int8]:
    """The split of each event.

    Args:
        events: `n` events of the fold by user and time.
        positive: `[n] bool`; the splits by user count positive interactions, the others fall between them.
        times: `[n] int64` seconds.
        config: kind and shares.
        cuts: Boundaries of the splits, for `global_time`.

    Returns:
        `[n] int8` positions in `features.disk.layout.SPLITS`, never decreasing within a user.
    """
    if config.kind == "global_time":
        return np.where(times >= cuts.test, TEST, np.where(times >= cuts.validation, VALIDATION, TRAIN)).astype(np.int8)
    rank, total = _positive_ranks(events, positive)
    num_validation, num_test = _held_out(total, config)
    first_test = np.repeat(total - num_test, np.diff(events.starts))
    first_validation = first_test - np.repeat(num_validation, np.diff(events.starts))
    return np.where(rank > first_test, TEST, np.where(rank > first_validation, VALIDATION, TRAIN)).astype(np.int8)


def _positive_ranks(
    events: SortedEvents, positive: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """`[n]` positive interactions of the same user up to and including each event, and `[users]` in total."""
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(positive)])
    rank = before[1:] - np.repeat(before[events.starts[:-1]], np.diff(events.starts))
    return rank, before[events.starts[1:]] - before[events.starts[:-1]]


def _held_out(total: npt.NDArray[np.int64], config: SplitConfig) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Number of validation and test interactions of users with `total` of them; at least one remains for training."""
    if config.kind == "leave_last_out":
        return (total >= 3).astype(np.int64), (total >= 2).astype(np.int64)
    # Of what the fold left of the events, a larger share is as many.
    left = 1.0 - config.fold * config.test
    test = np.floor(total * config.test / left + 1e-9).astype(np.int64)
    both = np.floor(total * (config.test + config.validation) / left + 1e-9).astype(np.int64)
    return both - test, test
