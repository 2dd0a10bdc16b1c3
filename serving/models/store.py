"""The model store: finds, loads, leases and unloads versions.

One thread polls for versions, one decides what to load or unload next, and each load and unload runs in its own thread,
so that requests never wait for any of them.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from serving.config import ServerConfig
from serving.errors import Code, ServingError, from_exception, not_found
from serving.models.discovery import Poller
from serving.models.labels import VersionLabels
from serving.models.policy import Phase, Snapshot, next_action
from serving.models.servable import Servable
from serving.models.states import State, StateBoard

logger = logging.getLogger(__name__)

Loader = Callable[[str, int, str], Servable]
"""Loads and warms up a version, given the model's name, the version number and the version directory."""


@dataclass(eq=False)
class _Version:
    name: str
    number: int
    path: str
    phase: Phase = Phase.NEW
    aspired: bool = True
    servable: Servable | None = None
    calls: int = 0
    unwanted: threading.Event = field(default_factory=threading.Event)


class Lease:
    """Keeps a version loaded while it is used: `with store.lease(...) as servable`."""

    __slots__ = ("_store", "_version")

    def __init__(self, store: "ModelStore", version: _Version) -> None:
        self._store = store
        self._version = version

    def __enter__(self) -> Servable:
        assert self._version.servable is not None
        return self._version.servable

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.release(self._version)


class ModelStore:
    """All versions of all models of this process."""

    def __init__(self, config: ServerConfig, load: Loader, board: StateBoard) -> None:
        self._config = config
        self._load_version = load
        self._board = board
        self._poller = Poller(config)
        self._models: dict[str, Any] = {}
        self.labels = VersionLabels(board, allow_unavailable=config.allow_version_labels_for_unavailable_models)
        self._versions: dict[str, dict[int, _Version]] = {}
        self._wanted: dict[str, dict[int, str]] = {}
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._polling = threading.Lock()
        self._stopped = threading.Event()
        self._work = threading.Event()
        self._load_slots = threading.Semaphore(config.rest_threads)
        self._unload_slots = threading.Semaphore(max(1, config.num_unload_threads))

    # Requests ---------------------------------------------------------------------------------------------------

    def lease(self, name: str, version: int | None = None, label: str | None = None) -> Lease:
        """Leases a version of a model: the given one, the labelled one, or the highest that is loaded.

        Raises:
            ServingError: There is no such model, version or label.
        """
        if label is not None:
            version = self.labels.version(name, label)
        with self._lock:
            versions = self._versions.get(name, {})
            ready = [number for number, each in versions.items() if each.phase is Phase.READY]
            number = version if version is not None else max(ready, default=None)
            if number is None or number not in ready:
                wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
                raise not_found(f"Servable not found for request: {wanted}")
            found = versions[number]
            found.calls += 1
        return Lease(self, found)

    def release(self, version: _Version) -> None:
        """Ends a lease; called by `Lease`."""
        with self._lock:
            version.calls -= 1
            if not version.calls and version.phase is Phase.UNLOADING:
                self._idle.notify_all()

    # Configuration ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the threads that find, load and unload versions."""
        threading.Thread(target=self._manage, name="versions", daemon=True).start()
        if self._config.file_system_poll_wait_seconds > 0:
            threading.Thread(target=self._poll_forever, name="poll", daemon=True).start()

    def set_models(self, models: dict[str, Any]) -> None:
        """Replaces the models: omitted ones are unloaded, and the base paths are polled at once.

        Args:
            models: `ModelConfig` by name.
        """
        with self._lock:
            self._models = models
            for name in self._wanted.keys() - models.keys():
                self._wanted[name] = {}
        if self._config.file_system_poll_wait_seconds >= 0:
            self.poll()
        self._work.set()

    def wait_until_available(self, names: list[str], noun: str, timeout: float | None = None) -> None:
        """Blocks until each model has an available version.

        Args:
            names: The models.
            noun: Noun of the error message, `servable` or `model`.
            timeout: Seconds to wait; None waits forever, even for a model without any version.

        Raises:
            ServingError: Every version of some model failed, the time is over, or the server was stopped.
        """

        def decided() -> bool:
            return self._stopped.is_set() or all(
                self._board.is_available(name) or self._board.has_failed(name) for name in names
            )

        if not self._board.wait_for(decided, timeout):
            missing = ", ".join(name for name in names if not self._board.is_available(name))
            raise ServingError(Code.DEADLINE_EXCEEDED, f"Still waiting for a version of {missing}")
        if self._stopped.is_set():
            raise ServingError(Code.CANCELLED, "the server was stopped while models were loading")
        failed = [name for name in names if not self._board.is_available(name)]
        if failed:
            reasons = "".join(f"{self._failure(name)}, " for name in failed)
            raise ServingError(Code.UNKNOWN, f"{len(failed)} {noun}(s) did not become available: {{{reasons}}}")
        self._load_slots = threading.Semaphore(max(1, self._config.num_load_threads))

    def _failure(self, name: str) -> str:
        number, status = max(self._board.of(name).items())
        return f"{{{{name: {name} version: {number}}} due to error: {status.code.name}: {status.message}}}"

    # Polling ----------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Polls every base path once."""
        with self._polling:
            with self._lock:
                models = dict(self._models)
            found = self._poller.look(models)
            with self._lock:
                # A model may have been removed from the configuration while its directory was read.
                self._wanted.update({name: versions for name, versions in found.items() if name in self._models})
                self._reconcile()
        self._work.set()

    def _poll_forever(self) -> None:
        while not self._stopped.wait(self._config.file_system_poll_wait_seconds):
            self.poll()

    # Loading ----------------------------------------------------------------------------------------------------

    def _manage(self) -> None:
        while not self._stopped.is_set():
            self._work.wait(timeout=1.0)
            self._work.clear()
            with self._lock:
                self._reconcile()
                actions = [
                    (action, self._versions[name][number])
                    for name, versions in self._versions.items()
                    for action, number in self._actions(versions)
                ]
            for action, version in actions:
                run = self._load if action == "load" else self._unload
                threading.Thread(target=run, args=(version,), name=f"{action}-{version.name}", daemon=True).start()

    def _reconcile(self) -> None:
        for name, wanted in self._wanted.items():
            versions = self._versions.setdefault(name, {})
            for number, version in list(versions.items()):
                version.aspired = number in wanted
                if not version.aspired:
                    version.unwanted.set()
                    if version.phase in (Phase.NEW, Phase.FAILED):
                        del versions[number]
            for number, path in wanted.items():
                if number not in versions:
                    versions[number] = _Version(name, number, path)
                    self._board.publish(name, number, State.START)

    def _actions(self, versions: dict[int, _Version]) -> list[tuple[str, int]]:
        actions: list[tuple[str, int]] = []
        while action := next_action([Snapshot(each.number, each.phase, each.aspired) for each in versions.values()]):
            version = versions[action[1]]
            version.phase = Phase.LOADING if action[0] == "load" else Phase.UNLOADING
            state = State.LOADING if action[0] == "load" else State.UNLOADING
            self._board.publish(version.name, version.number, state)
            actions.append(action)
        return actions

    def _load(self, version: _Version) -> None:
        started = time.monotonic()
        try:
            servable = self._load_with_retries(version)
        except ServingError as error:
            with self._lock:
                version.phase = Phase.FAILED
            logger.error("%s version %d ended: %s: %s", version.name, version.number, error.code.name, error.message)
            self._board.publish(version.name, version.number, State.END, error)
        else:
            with self._lock:
                version.servable = servable
                version.phase = Phase.READY
            self._board.publish(version.name, version.number, State.AVAILABLE)
            seconds = time.monotonic() - started
            logger.info("%s version %d is available (%.1f s)", version.name, version.number, seconds)
        self._work.set()

    def _load_with_retries(self, version: _Version) -> Servable:
        failure = ServingError(Code.CANCELLED, "the version is no longer aspired")
        for attempt in range(self._config.max_num_load_retries + 1):
            if attempt:
                version.unwanted.wait(self._config.load_retry_interval_micros / 1e6)
            if version.unwanted.is_set():
                break
            slots = self._load_slots
            with slots:
                try:
                    return self._load_version(version.name, version.number, version.path)
                except Exception as error:
                    failure = from_exception(error)
            logger.warning(
                "%s version %d: load attempt %d of %d failed: %s",
                version.name,
                version.number,
                attempt + 1,
                self._config.max_num_load_retries + 1,
                failure.message,
            )
        raise failure

    def _unload(self, version: _Version) -> None:
        with self._idle:
            self._idle.wait_for(lambda: not version.calls)
        with self._unload_slots:
            assert version.servable is not None
            servable, version.servable = version.servable, None
            servable.close()
        with self._lock:
            self._versions[version.name].pop(version.number, None)
        self._board.publish(version.name, version.number, State.END)
        logger.info("%s version %d is unloaded", version.name, version.number)
        self._work.set()

    def stop(self) -> None:
        """Stops the threads; versions stay loaded for the calls in progress."""
        self._stopped.set()
        self._poller.stop()
        with self._lock:
            for versions in self._versions.values():
                for version in versions.values():
                    version.unwanted.set()
        self._work.set()
        self._board.wake()
