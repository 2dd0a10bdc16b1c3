"""Base paths in object stores: complete versions are copied to this machine, where the server then finds them.

    <cache>/<name of the base path>-<hash of its URL>/<version>/

Each base path has a thread that looks into the store. It copies the versions that the model's policy wants, each whole
or not at all, and then removes the others, so that the cache holds no more than the policy asks for. While the store
cannot be reached, and after a restart, the server goes on with what is here.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from features.disk.files import exclusive, in_use, make_directory, temporary_sibling
from features.disk.object_store import RemoteFolder, open_folder
from features.disk.uploads import DamagedError, Listing, complete_listing, download, downloaded_listing, folders_in
from features.errors import InputError, RecstackError
from serving.config import ServerConfig

logger = logging.getLogger(__name__)

# A damaged version is not copied again before so long: it may be large.
_DAMAGED_SECONDS = 300.0

Choose = Callable[[dict[int, str], Any], dict[int, str]]
"""Applies a version policy to directories by version number."""


class RemoteBasePaths:
    """The base paths of all models that are served from object stores."""

    def __init__(self, config: ServerConfig, choose: Choose) -> None:
        self._config = config
        self._choose = choose
        self._followers: dict[tuple[str, str], _Follower] = {}

    def local(self, name: str, url: str, policy: Any) -> str | None:
        """The folder of this machine with the versions of a base path; None until the store has been looked at.

        Args:
            name: The model.
            url: Its base path.
            policy: The `ServableVersionPolicy` that says which versions are wanted.

        Raises:
            InputError: The cache's folder cannot be written, or the library for the URL is not installed.
        """
        follower = self._followers.get((name, url))
        if follower is None:
            follower = self._followers[name, url] = _Follower(url, self._config, self._choose, policy)
            follower.start()
        follower.want(policy)
        return str(follower.directory) if follower.looked.is_set() else None

    def keep(self, served: Collection[tuple[str, str]]) -> None:
        """Ends the threads of all other models and base paths; what they copied stays."""
        for key in self._followers.keys() - set(served):
            self._followers.pop(key).stop()


def cache_directory(config: ServerConfig) -> Path:
    """The folder below which copies of remote versions lie."""
    if config.remote_cache_directory:
        return Path(config.remote_cache_directory)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recstack" / "served"


class _Follower:
    """Keeps the copy of one base path up to date."""

    def __init__(self, url: str, config: ServerConfig, choose: Choose, policy: Any) -> None:
        self._folder = open_folder(url)
        self._config = config
        self._choose = choose
        self._policy = policy
        self._polls = config.file_system_poll_wait_seconds > 0
        digest = hashlib.sha256(self._folder.url.encode()).hexdigest()[:12]
        self.directory = cache_directory(config) / f"{self._folder.url.rpartition('/')[2]}-{digest}"
        make_directory(self.directory)
        self.looked = threading.Event()
        self._wake = threading.Event()
        self._stopped = False
        self._held: dict[int, contextlib.ExitStack] = {}
        self._avoided: dict[int, float] = {}
        self._complaint = ""

    def start(self) -> None:
        """Begins to look into the store in a thread, if the flags ask for polling."""
        if self._polls:
            threading.Thread(target=self._follow, name="store-poll", daemon=True).start()

    def want(self, policy: Any) -> None:
        """Takes a version policy; without polling, this looks into the store, else a new policy wakes the thread."""
        if not self._polls:
            self._policy = policy
            self._look()
        elif policy != self._policy:
            self._policy = policy
            self._wake.set()

    def stop(self) -> None:
        """Ends the thread after its present work."""
        self._stopped = True
        self._wake.set()

    def _follow(self) -> None:
        while not self._stopped:
            self._look()
            self._wake.wait(self._config.remote_poll_wait_seconds)
            self._wake.clear()

    def _look(self) -> None:
        try:
            self._update()
            self._complaint = ""
        except RecstackError as error:
            self._complain(f"{error}; what is in {self.directory} is served, polling goes on")
        except Exception:  # a thread that ends would leave the server with old models for ever
            logger.exception("%s: unexpected error; polling goes on", self._folder.url)
        finally:
            self.looked.set()

    def _complain(self, message: str) -> None:
        if message != self._complaint:
            logger.error("%s", message)
        self._complaint = message

    def _update(self) -> None:
        """Copies what is wanted and missing, the newest first, then removes what is not wanted."""
        complete = _complete_versions(self._folder)
        self.looked.set()
        with exclusive(self.directory, "recstack serve", wait=True):
            self._remove_leftovers()
            wanted = self._wanted(complete)
            for number in set(self._present()) - set(wanted):
                self._remove(number)

    def _wanted(self, complete: dict[int, Listing]) -> list[int]:
        """The versions of the model's policy, which are here when this returns; damaged ones count as missing."""
        healthy = {n: str(n) for n in complete if time.monotonic() >= self._avoided.get(n, 0.0)}
        while True:
            wanted = sorted(self._choose(healthy, self._policy), reverse=True)
            for number in wanted:
                try:
                    self._copy(number, complete[number])
                except DamagedError as error:
                    logger.error("%s; version %d counts as missing", error, number)
                    self._avoided[number] = time.monotonic() + _DAMAGED_SECONDS
                    healthy.pop(number)
                    break
            else:
                return wanted

    def _copy(self, number: int, listing: Listing) -> None:
        target = self.directory / str(number)
        if downloaded_listing(target) != listing:
            self._release(number)
            download(self._folder.below(str(number)), listing, target)
            logger.info("%s/%d: copied to %s", self._folder.url, number, target)
        if number not in self._held:
            self._held[number] = contextlib.ExitStack()
            self._held[number].enter_context(in_use(target))

    def _remove(self, number: int) -> None:
        """Removes a version from the cache unless another server on this machine serves it from there."""
        self._release(number)
        directory = self.directory / str(number)
        with contextlib.suppress(InputError), exclusive(directory, "recstack serve"):
            doomed = temporary_sibling(directory)
            directory.rename(doomed)  # so that a server sees it whole or not at all
            shutil.rmtree(doomed)
            logger.info("%s/%d: removed from %s", self._folder.url, number, self.directory)

    def _release(self, number: int) -> None:
        if number in self._held:
            self._held.pop(number).close()

    def _present(self) -> list[int]:
        return [int(path.name) for path in self.directory.iterdir() if path.name.isdecimal()]

    def _remove_leftovers(self) -> None:
        """Removes what a killed server had begun to copy; whoever copies holds the lock of the whole folder."""
        for path in self.directory.glob(".*"):
            shutil.rmtree(path, ignore_errors=True)


def _complete_versions(folder: RemoteFolder) -> dict[int, Listing]:
    """The files of each complete version in the store."""
    found: dict[int, Listing] = {}
    for name, sizes in folders_in(folder.sizes()).items():
        if name.isdecimal() and str(int(name)) == name:
            listing = complete_listing(folder.below(name), sizes)
            if listing is not None:
                found[int(name)] = listing
    return found
