"""Features computed from what a user did strictly before an event, and sessions."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from beam_pipelines.config import DerivedKind
from beam_pipelines.passes.cleaning import first_of_group

_Integers = npt.NDArray[np.int64]


def session_starts(user_begins: npt.NDArray[np.bool_], times: _Integers, gap_seconds: int) -> npt.NDArray[np.bool_]:
    """`[n] bool` mask of the first events of sessions: a user's first event, and events after a pause above the gap."""
    pause = np.concatenate([np.zeros(min(len(times), 1), np.int64), np.diff(times)])
    return np.asarray(user_begins | (pause > gap_seconds))


def begins_of(starts: _Integers, size: int) -> npt.NDArray[np.bool_]:
    """`[n] bool` mask that is true at the starts."""
    begins = np.zeros(size, bool)
    begins[starts[starts < size]] = True
    return begins


def derived_features(
    starts: _Integers,
    times: _Integers,
    positive: npt.NDArray[np.bool_],
    *,
    wanted: Mapping[str, DerivedKind],
    session_gap_seconds: int,
) -> dict[str, npt.NDArray[np.float32]]:
    """Values of the derived features by name.

    Args:
        starts: `[u + 1]` index of each user's first event.
        times: `[n] int64` seconds, not decreasing within a user.
        positive: `[n] bool` positive interactions.
        wanted: kind of each feature, by name.
        session_gap_seconds: pause after which a new session begins.
    """
    begins = begins_of(starts[:-1], len(times))
    user_start = first_of_group(begins)
    # Simultaneous events do not see each other: all look back from the first of them.
    moment = first_of_group(begins | np.concatenate([np.ones(min(len(times), 1), bool), np.diff(times) > 0]))
    values: dict[str, npt.NDArray[np.float32]] = {}
    for name, kind in wanted.items():
        if kind == "user_events":
            before = np.concatenate([np.zeros(1, np.int64), np.cumsum(positive)])
            found = before[moment] - before[user_start]
        elif kind == "seconds_since_previous":
            previous = times[np.maximum(moment - 1, 0)]
            found = np.where(moment > user_start, times - previous, np.nan)
        else:
            found = moment - first_of_group(session_starts(begins, times, session_gap_seconds))
        values[name] = found.astype(np.float32)
    return values
