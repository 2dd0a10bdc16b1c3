"""A lease on the work directory: one retraining at a time, on any machine that shares it.

The lease is a file with its holder's name, host and last sign of life, which the holder renews while it works. A lease
whose holder died ends by itself: at once if the holder's process is gone from this machine, else when its last sign of
life is `seconds` old. A holder that was merely slow finds its lease taken and stops before it publishes anything.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from features.disk.files import is_alive, make_directory, write_text_atomically
from features.errors import InputError, RecstackError

# Signs of life before a lease would end.
_SIGNS = 6
# Seconds until it is looked again whether another process has finished taking a lease.
_MOMENT = 0.01


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lease."""

    name: str
    """Of this attempt alone."""
    host: str
    """Name of the machine."""
    pid: int
    """Of the process on it."""
    machine: str
    """Identifies what numbers its processes: a booted machine, or a container on it; empty if that is not known."""
    heartbeat: float
    """Last sign of life, in seconds since 1970."""

    def has_ended(self, seconds: float) -> bool:
        """Whether its process is gone, or silent for so long."""
        if self.machine and self.machine == _machine() and not is_alive(self.pid):
            return True
        return time.time() - self.heartbeat > seconds


class Lease:
    """A lease that this process holds."""

    def __init__(self, path: Path, name: str) -> None:
        """Takes the file and the name of the holder in it."""
        self._path, self._name = path, name

    def require(self) -> None:
        """Refuses to go on if another process has taken the lease over.

        Raises:
            RecstackError: it has.
        """
        holder = read_holder(self._path)
        if holder is None or holder.name != self._name:
            taken = f"{holder.host} (process {holder.pid}) has taken it over" if holder else "it is gone"
            raise RecstackError(f"lease {self._path}: lost, {taken}; nothing more is done here, the live models stay")

    def renew(self) -> None:
        """Gives a sign of life; nothing if the lease is lost."""
        holder = read_holder(self._path)
        if holder is not None and holder.name == self._name:
            write_text_atomically(self._path, _as_json(self._name))


@contextlib.contextmanager
def held_lease(path: Path, seconds: float) -> Iterator[Lease]:
    """Holds the lease while the block runs, and gives it back.

    Args:
        path: of the lease's file.
        seconds: after a holder's last sign of life at which its lease ends.

    Raises:
        InputError: another process holds it; the message names its host.
    """
    make_directory(path.parent)
    name = uuid.uuid4().hex
    _take(path, name, seconds)
    lease, ended = Lease(path, name), threading.Event()
    beating = threading.Thread(target=_beat, args=(lease, ended, seconds / _SIGNS), daemon=True)
    beating.start()
    try:
        yield lease
    finally:
        ended.set()
        beating.join()
        holder = read_holder(path)
        if holder is not None and holder.name == name:
            path.unlink(missing_ok=True)


def read_holder(path: Path) -> Holder | None:
    """Who holds the lease; None if nobody does, or if the file says nothing."""
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return Holder(**{each.name: found[each.name] for each in fields(Holder)})
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _take(path: Path, name: str, seconds: float) -> None:
    with _alone(path.with_suffix(".lock"), seconds):
        holder = read_holder(path)
        if holder is not None and not holder.has_ended(seconds):
            ago = max(time.time() - holder.heartbeat, 0.0)
            raise InputError(
                f"lease {path}: held by {holder.host} (process {holder.pid}), last sign of life {ago:.0f} s ago; wait "
                f"until that retraining ends, or until {seconds:.0f} s without a sign of life have passed"
            )
        write_text_atomically(path, _as_json(name))


@contextlib.contextmanager
def _alone(path: Path, seconds: float) -> Iterator[None]:
    """Holds a file that only one process can create, on network file systems as well; for a moment only.

    One that is older than `seconds` is of a process that died in that moment.
    """
    while True:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > seconds:
                    path.unlink()
            time.sleep(_MOMENT)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _beat(lease: Lease, ended: threading.Event, seconds: float) -> None:
    while not ended.wait(seconds):
        with contextlib.suppress(OSError):  # a full disk: the next sign of life may succeed
            lease.renew()


def _as_json(name: str) -> str:
    holder = Holder(name=name, host=socket.gethostname(), pid=os.getpid(), machine=_machine(), heartbeat=time.time())
    return json.dumps(asdict(holder), indent=1) + "\n"


def _machine() -> str:
    """Process numbers of containers mean nothing outside them, even where two have the same host name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
