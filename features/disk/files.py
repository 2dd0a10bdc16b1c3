"""Files and directories that appear whole or not at all."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from features.errors import InputError

_TEMPORARY_MARK = ".tmp-"
_REPLACED_MARK = "-old-"
_SYNCS_AT_ONCE = 8
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
# Leftovers of another machine on a shared disk are removed after a day: whether its process still runs cannot be asked.
_FOREIGN_LEFTOVER_SECONDS = 86_400.0


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Writes a temporary file in the same directory, syncs it to disk and renames it into place."""
    temporary = temporary_sibling(path)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_text_atomically(path: Path, text: str) -> None:
    """Writes UTF-8 text as `write_bytes_atomically` does."""
    write_bytes_atomically(path, text.encode("utf-8"))


def sync_directory(directory: Path) -> None:
    """Makes a rename inside the directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def staged_directory(final: Path) -> Iterator[Path]:
    """Yields a temporary directory beside `final`, which replaces `final` when the block succeeds.

    If the block fails, the temporary directory is removed. Leftovers of processes that were killed are removed first. A
    reader sees the old directory or the new one. A process that is killed between the two renames leaves neither; the
    next call restores the old one.

    Args:
        final: The directory to publish; an existing one is replaced.

    Raises:
        InputError: The parent directory cannot be made or written.
    """
    make_directory(final.parent)
    remove_leftovers(final)
    staging = temporary_sibling(final)
    staging.mkdir()
    try:
        yield staging
        sync_tree(staging)
        replace_directory(staging, final)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def temporary_sibling(final: Path, mark: str = "-") -> Path:
    """Returns a new hidden path beside `final` that names this process and machine, for `remove_leftovers` to read."""
    name = f".{final.name}{_TEMPORARY_MARK}{os.getpid()}{mark}{_HOST}{uuid.uuid4().hex[:8]}"
    return final.with_name(name)


def make_directory(directory: Path) -> None:
    """Makes the directory and its parents.

    Raises:
        InputError: The directory cannot be made or written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"directory {directory}: cannot be made ({reason}); choose another") from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise InputError(f"directory {directory}: no permission to write; choose another or change its mode")


def replace_directory(staging: Path, final: Path) -> None:
    """Renames `staging` to `final`, which may exist."""
    if final.exists():
        old = temporary_sibling(final, _REPLACED_MARK)
        final.rename(old)
        staging.rename(final)
        shutil.rmtree(old)
    else:
        staging.rename(final)
    sync_directory(final.parent)


def remove_leftovers(final: Path) -> None:
    """Removes temporary siblings of `final` whose process is gone, and restores a directory that was being replaced."""
    for path in final.parent.glob(f".{final.name}{_TEMPORARY_MARK}*"):
        if _is_abandoned(path):
            if _REPLACED_MARK in path.name and not final.exists():
                path.rename(final)
            elif path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    """Whether the process that made the name is gone."""
    owner, _, rest = path.name.rpartition(_TEMPORARY_MARK)[2].partition("-")
    tail = rest.rpartition("-")[2]
    is_foreign = len(tail) == 2 * len(_HOST) and not tail.startswith(_HOST)
    if is_foreign:
        with contextlib.suppress(FileNotFoundError):  # another process may remove it at this moment
            return time.time() - path.stat().st_mtime > _FOREIGN_LEFTOVER_SECONDS
        return False
    return not owner.isdigit() or not is_alive(int(owner))


def is_alive(pid: int) -> bool:
    """Whether this machine runs a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sync_tree(directory: Path) -> None:
    """Syncs every file below `directory`, and the directories that name them, to disk."""
    # In parallel: a file system with a journal commits all waiting files at once.
    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
        list(pool.map(_sync, directory.rglob("*")))
    sync_directory(directory)


def _sync(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    elif path.is_dir():
        sync_directory(path)


def link_or_copy(source: str, target: str) -> None:
    """Hard-links a file where the file system allows it, else copies it; finished files are never changed in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def link_tree(source: Path, target: Path) -> None:
    """Gives a file, or all files below a directory, a second name below `target`; takes no space where links work."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=link_or_copy)
    else:
        link_or_copy(str(source), str(target))


@contextlib.contextmanager
def exclusive(directory: Path, work: str, *, wait: bool = False) -> Iterator[None]:
    """Locks the directory while the block runs, against other processes of this machine that lock it.

    The lock ends with the process, so a process that is killed leaves none.

    Args:
        directory: Is made if it does not exist.
        work: The command that the block is part of, for the error message.
        wait: Whether to wait until another process releases the lock; only for short blocks.

    Raises:
        InputError: Another process holds the lock, or the directory cannot be made.
    """
    descriptor = _locked_directory(directory, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), work)
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def in_use(directory: Path) -> Iterator[None]:
    """Locks an existing directory against `exclusive` while the block runs; any number of processes may use it at once.

    Raises:
        InputError: Another process holds the exclusive lock.
    """
    descriptor = _locked_directory(directory, fcntl.LOCK_SH | fcntl.LOCK_NB, "recstack")
    try:
        yield
    finally:
        os.close(descriptor)


def _locked_directory(directory: Path, operation: int, work: str) -> int:
    """A descriptor that holds the lock until it is closed."""
    while True:
        if not directory.is_dir():
            make_directory(directory)
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, operation)
            # Another process may have renamed the directory in the meantime: then the lock guards nothing.
            if directory.is_dir() and os.path.samestat(os.fstat(descriptor), directory.stat()):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise InputError(f"directory {directory}: another `{work}` is running there; wait until it ends") from error
        os.close(descriptor)
