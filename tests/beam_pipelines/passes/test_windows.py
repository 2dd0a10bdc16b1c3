import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.passes.windows import WindowLimits, make_windows

_LENGTH = 3
# One event: seconds since the user's previous one, split (0 to 2), whether it enters histories.
_EVENT = st.tuples(st.integers(0, 1), st.integers(0, 2), st.booleans())
_USER = st.lists(_EVENT, max_size=12)


def columns(users: list[list[tuple[int, int, bool]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    starts = np.concatenate([[0], np.cumsum([len(user) for user in users])]).astype(np.int64)
    times = np.concatenate([np.cumsum([e[0] for e in user], dtype=np.int64) for user in users] or [[]])
    splits = np.concatenate([np.sort([e[1] for e in user]) for user in users] or [[]])
    context = np.array([e[2] for user in users for e in user], bool)
    return starts, times.astype(np.int64), splits, context


@given(st.lists(_USER, min_size=1, max_size=4), st.integers(0, 2), st.integers(2, 5))
def test_each_target_is_in_one_record_with_its_whole_history(users, place, max_events) -> None:
    starts, times, splits, context = columns(users)
    targets, history = splits == place, context & (splits <= place)
    limits = WindowLimits(max_events=max_events, history_length=_LENGTH, has_context=place > 0)
    windows = make_windows(starts, times, targets=targets, context=history, limits=limits)
    owner = np.repeat(np.arange(len(users)), np.diff(starts))
    seen = []
    for record, user in enumerate(windows.users):
        rows = windows.rows[windows.starts[record] : windows.starts[record + 1]]
        assert (owner[rows] == user).all()
        assert (np.diff(rows) > 0).all()
        cut = windows.num_context[record]
        assert (~targets[rows[:cut]] | history[rows[:cut]]).all()
        assert 0 < len(rows) - cut <= max_events
        for row in rows[cut:]:
            wanted = np.flatnonzero(history & (owner == user) & (times < times[row]) & (targets | (place > 0)))
            found = [r for r in rows if history[r] and times[r] < times[row]]
            assert found[-_LENGTH:] == list(wanted[-_LENGTH:])
            seen.append(row)
    assert sorted(seen) == list(np.flatnonzero(targets))


def test_a_context_keeps_the_latest_events() -> None:
    windows = make_windows(
        np.array([0, 10]),
        np.arange(10),
        targets=np.arange(10) == 9,
        context=np.arange(10) < 9,
        limits=WindowLimits(max_events=4, history_length=2, has_context=True),
    )
    assert windows.rows.tolist() == [5, 6, 7, 8, 9]
    assert windows.num_context.tolist() == [4]


def test_a_second_training_record_begins_with_the_history_it_needs() -> None:
    # Seconds 0 1 2 2 2 3: the third record's first target (second 2) needs the events of seconds 0 and 1, and its
    # second target (second 3) needs those of second 2.
    windows = make_windows(
        np.array([0, 6]),
        np.array([0, 1, 2, 2, 2, 3]),
        targets=np.ones(6, bool),
        context=np.ones(6, bool),
        limits=WindowLimits(max_events=2, history_length=2, has_context=False),
    )
    records = np.split(windows.rows, windows.starts[1:-1])
    assert [record.tolist() for record in records] == [[0, 1], [0, 1, 2, 3], [0, 1, 2, 3, 4, 5]]
    assert windows.num_context.tolist() == [0, 2, 4]
