"""What is known of each version of each model: the board that GetModelStatus reads and start-up waits on."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from serving.errors import Code, ServingError


class State(IntEnum):
    """Life of a version, numbered as in `GetModelStatusResponse`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionStatus:
    """Where a version is, and why where it failed."""

    state: State
    code: Code = Code.OK
    message: str = ""


class StateBoard:
    """The last status of every version there ever was; versions that ended stay listed."""

    def __init__(self) -> None:
        self._states: dict[str, dict[int, VersionStatus]] = {}
        self._changed = threading.Condition()

    def publish(self, name: str, version: int, state: State, error: ServingError | None = None) -> None:
        """Records a version's new state and wakes who waits."""
        status = VersionStatus(state) if error is None else VersionStatus(state, error.code, error.message)
        with self._changed:
            self._states.setdefault(name, {})[version] = status
            self._changed.notify_all()

    def of(self, name: str) -> dict[int, VersionStatus]:
        """Version number to status, ascending; empty for an unknown model."""
        with self._changed:
            return dict(sorted(self._states.get(name, {}).items()))

    def wait_for(self, done: Callable[[], bool], timeout: float | None = None) -> bool:
        """Blocks until `done()`, which is asked again after every change and `wake`.

        Returns:
            Whether it is done; False only after `timeout` seconds.
        """
        with self._changed:
            # gRPC gives a call without a deadline some 300 years, more than a lock can wait.
            return self._changed.wait_for(done, None if timeout is None else min(timeout, threading.TIMEOUT_MAX))

    def wake(self) -> None:
        """Lets waiters look again."""
        with self._changed:
            self._changed.notify_all()

    def is_available(self, name: str) -> bool:
        """Whether some version of the model can be called."""
        return any(status.state is State.AVAILABLE for status in self.of(name).values())

    def has_failed(self, name: str) -> bool:
        """Whether every version of the model has ended, and not all of them because they were unloaded."""
        statuses = self.of(name).values()
        failed = any(status.code is not Code.OK for status in statuses)
        return failed and all(status.state is State.END for status in statuses)
