"""Detects near duplicates and bots, user by user. Only earlier events decide about an event, never later ones."""

import numpy as np
import numpy.typing as npt

from beam_pipelines.config import CleaningConfig

_SECONDS_PER_DAY = 86_400
_Integers = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]


def near_duplicates(keys: list[_Integers], times: _Integers, config: CleaningConfig) -> _Mask:
    """Events that repeat an earlier one with the same keys too soon; the first of several repetitions is kept.

    Args:
        keys: user, item and event type as numbers, `[n]` each.
        times: `[n] int64` seconds.
        config: what is too soon.
    """
    repeats = np.zeros(len(times), bool)
    if config.duplicate_seconds and len(times):
        order = np.lexsort([times, *keys])
        same = np.logical_and.reduce([np.diff(key[order]) == 0 for key in keys])
        repeats[order[1:]] = same & (np.diff(times[order]) <= config.duplicate_seconds)
    return repeats


def bot_events(users: _Integers, times: _Integers, config: CleaningConfig) -> _Mask:
    """Events above the daily limit, and all later events of the same user.

    Args:
        users: `[n]` user numbers; the events of a user are adjacent.
        times: `[n] int64` seconds, not decreasing within a user.
        config: the daily limit.
    """
    if not config.max_events_per_day or not len(times):
        return np.zeros(len(times), bool)
    position = np.arange(len(times))
    days = times // _SECONDS_PER_DAY
    new_user = np.concatenate([[True], np.diff(users) != 0])
    new_day = new_user | np.concatenate([[True], np.diff(days) != 0])
    surplus = position - first_of_group(new_day) >= config.max_events_per_day
    so_far = np.cumsum(surplus)
    user_start = first_of_group(new_user)
    before_user = np.where(user_start > 0, so_far[user_start - 1], 0)
    return np.asarray(so_far - before_user > 0)


def first_of_group(begins: _Mask) -> _Integers:
    """`[n]` position of the first event of each event's group, given a mask of first events."""
    return np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))
