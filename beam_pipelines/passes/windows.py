"""Decides which sorted events go into which record of `features.records.contents`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """Records as ranges of event rows."""

    rows: _Rows
    """Indices of the records' events among all events, record by record."""
    starts: _Rows
    """`[records + 1]` index in `rows` of each record's first event."""
    num_context: _Rows
    """`[records]` number of leading events that are context only."""
    users: _Rows
    """`[records]` index of each record's user."""


@dataclass(frozen=True, kw_only=True)
class WindowLimits:
    """Limits on the size of a record."""

    max_events: int
    """Largest number of targets, and of context events."""
    history_length: int
    """Length of a history."""
    has_context: bool
    """Whether records include the events before their targets, as in validation and test. Training records include only
    what the histories of a second or later window need."""


def make_windows(
    user_starts: _Rows,
    times: npt.NDArray[np.int64],
    *,
    targets: npt.NDArray[np.bool_],
    context: npt.NDArray[np.bool_],
    limits: WindowLimits,
) -> Windows:
    """Divides the events of each user with a target into records.

    Args:
        user_starts: `[u + 1]` index of each user's first event.
        times: `[n] int64` seconds, not decreasing within a user.
        targets: `[n] bool` events to predict.
        context: `[n] bool` events that enter histories; those before the first target are included.
        limits: sizes of the records.
    """
    users = np.repeat(np.arange(len(user_starts) - 1), np.diff(user_starts))
    num_targets = np.bincount(users[targets], minlength=len(user_starts) - 1)
    before_first = context & ~targets & limits.has_context & (num_targets[users] > 0)
    num_context = np.bincount(users[before_first], minlength=len(user_starts) - 1)
    small = (num_targets > 0) & (num_targets <= limits.max_events) & (num_context <= limits.max_events)
    whole = np.flatnonzero(small)
    large = np.flatnonzero((num_targets > 0) & ~small)
    rows = [np.flatnonzero((targets | before_first) & small[users])]
    sizes, contexts, owners = [(num_targets + num_context)[whole]], [num_context[whole]], [whole]
    for user in large:
        first, last = user_starts[user], user_starts[user + 1]
        cut = _cut_user(times[first:last], targets[first:last], context[first:last], limits)
        for context_rows, target_rows in cut:
            rows += [context_rows + first, target_rows + first]
            sizes.append(np.array([len(context_rows) + len(target_rows)]))
            contexts.append(np.array([len(context_rows)]))
            owners.append(np.array([user]))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(sizes))])
    return Windows(np.concatenate(rows), starts, np.concatenate(contexts), np.concatenate(owners))


def _cut_user(
    times: npt.NDArray[np.int64],
    targets: npt.NDArray[np.bool_],
    context: npt.NDArray[np.bool_],
    limits: WindowLimits,
) -> list[tuple[_Rows, _Rows]]:
    """Context rows and target rows of each record of one user."""
    target_rows = np.flatnonzero(targets)
    context_rows = np.flatnonzero(context)
    if not limits.has_context:
        context_rows = context_rows[np.isin(context_rows, target_rows)]
    records = []
    for begin in range(0, len(target_rows), limits.max_events):
        window = target_rows[begin : begin + limits.max_events]
        earlier = context_rows[context_rows < window[0]]
        # Events simultaneous with the first target are in the histories of later targets only.
        same_moment = int((times[earlier] == times[window[0]]).sum())
        kept = max(limits.max_events if limits.has_context else 0, limits.history_length + same_moment)
        records.append((earlier[max(0, len(earlier) - kept) :], window))
    return records
