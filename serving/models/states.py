"""The state of every model version, for GetModelStatus and for those who wait for a model."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from serving.errors import Code, ServingError


class State(IntEnum):
    """State of a version, numbered as in `GetModelStatusResponse`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionStatus:
    """State of a version, and its error if it failed."""

    state: State
    code: Code = Code.OK
    message: str = ""


class StateBoard:
    """The latest status of every version that was ever seen; versions that ended stay listed."""

    def __init__(self) -> None:
        self._states: dict[str, dict[int, VersionStatus]] = {}
        self._changed = threading.Condition()

    def publish(self, name: str, version: int, state: State, error: ServingError | None = None) -> None:
        """Records the new state of a version and wakes the waiting threads."""
        status = VersionStatus(state) if error is None else VersionStatus(state, error.code, error.message)
        with self._changed:
            self._states.setdefault(name, {})[version] = status
            self._changed.notify_all()

    def of(self, name: str) -> dict[int, VersionStatus]:
        """Status by version number, ascending; empty for an unknown model."""
        with self._changed:
            return dict(sorted(self._states.get(name, {}).items()))

    def wait_for(self, done: Callable[[], bool], timeout: float | None = None) -> bool:
        """Blocks until `done()` is true, which is checked after every change and every `wake`.

        Returns:
            False if it is not true after `timeout` seconds.
        """
        with self._changed:
            # gRPC gives calls without a deadline some 300 years, more than a lock can wait.
            return self._changed.wait_for(done, None if timeout is None else min(timeout, threading.TIMEOUT_MAX))

    def wake(self) -> None:
        """Makes the waiting threads check again."""
        with self._changed:
            self._changed.notify_all()

    def is_available(self, name: str) -> bool:
        """Whether some version of the model is available."""
        return any(status.state is State.AVAILABLE for status in self.of(name).values())

    def has_failed(self, name: str) -> bool:
        """Whether every version of the model has ended, at least one of them with an error."""
        statuses = self.of(name).values()
        failed = any(status.code is not Code.OK for status in statuses)
        return failed and all(status.state is State.END for status in statuses)
