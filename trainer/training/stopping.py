"""A request to end, as `kill` and cluster schedulers send it before they take a machine away."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from features.errors import RecstackError


class StoppedError(RecstackError):
    """The training was asked to end and has saved where it stands."""

    exit_code = 128 + signal.SIGTERM  # what a shell reports for a process that the signal ended


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Notes SIGTERM while the block runs, in place of ending the process; yields whether it has come.

    Outside of the main thread, which alone receives signals, and where the program handles the signal itself, it never
    comes.
    """
    asked = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        asked.set()

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield asked.is_set
        return
    signal.signal(signal.SIGTERM, note)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def never() -> bool:
    """Nobody asks."""
    return False
