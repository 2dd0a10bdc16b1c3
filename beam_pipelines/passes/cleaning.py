"""Near duplicates and bots, user by user. An event is judged by what came before it, never by what comes after."""

import numpy as np
import numpy.typing as npt

from beam_pipelines.config import CleaningConfig

_SECONDS_PER_DAY = 86_400
_Integers = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]


def near_duplicates(keys: list[_Integers], times: _Integers, config: CleaningConfig) -> _Mask:
    """Which events repeat an earlier one of the same keys too soon; the first of a row of repetitions stays.

    Args:
        keys: user, item and event type as numbers, `[n]` each.
        times: `[n] int64` seconds.
        config: how soon.
    """
    repeats = np.zeros(len(times), bool)
    if config.duplicate_seconds and len(times):
        order = np.lexsort([times, *keys])
        same = np.logical_and.reduce([np.diff(key[order]) == 0 for key in keys])
        repeats[order[1:]] = same & (np.diff(times[order]) <= config.duplicate_seconds)
    return repeats


def bot_events(users: _Integers, times: _Integers, config: CleaningConfig) -> _Mask:
    """Which events are the surplus of a day, or come after a surplus of the same user.

    Args:
        users: `[n]` users as numbers, each one's events together.
        times: `[n] int64` seconds, not decreasing within a user.
        config: how many events a day are a person's.
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
    """`[n]` position where the group of each event begins, given where groups begin."""
    return np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))
