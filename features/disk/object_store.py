"""Folders in object stores, by `s3://`, `gs://` or any other URL that fsspec knows.

    >>> folder = open_folder("memory://bucket/models")
    >>> folder.write("retrieval/note.txt", b"three")
    >>> folder.sizes()
    {'retrieval/note.txt': 5}

Credentials and endpoints come from where the stores' own libraries look for them, such as `AWS_ACCESS_KEY_ID`,
`AWS_ENDPOINT_URL` and `GOOGLE_APPLICATION_CREDENTIALS`.
"""

import contextlib
import errno
import glob
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from features.errors import InputError, RecstackError, first_line

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# Packages whose errors are about the store and not about this program.
_LIBRARIES = ("aiobotocore", "aiohttp", "botocore", "fsspec", "gcsfs", "google", "s3fs")
# Of this machine's disk, to which a file is copied.
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SILENT = "the store does not answer ({}); check the endpoint and the network"
_LOCAL = ("file", "local")
_TIMES = ("LastModified", "updated", "mtime", "created")
# Of a file that is read at random places, what is fetched at once.
_BLOCK_BYTES = 2**23
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


def is_url(path: str) -> bool:
    """Whether a path names a place in an object store instead of a local file."""
    return "://" in path


@dataclass(frozen=True)
class RemoteFolder:
    """A folder in an object store. Each method raises what `open_folder` does where the store does not answer."""

    url: str
    """URL of the folder, as configured; error messages name it."""
    files: "AbstractFileSystem"
    root: str
    """The folder's path in `files`."""

    def below(self, name: str) -> "RemoteFolder":
        """A folder in this one."""
        return RemoteFolder(f"{self.url}/{name}", self.files, self._path(name))

    def sizes(self) -> dict[str, int]:
        """Sizes of all files below the folder in bytes, by their names relative to it; empty if there is no folder."""
        with _reported(self.url):
            self.files.invalidate_cache()
            found: Mapping[str, Any] = self.files.find(self.root, detail=True)
        start = len(self.root) + 1
        return {path[start:]: int(entry["size"]) for path, entry in found.items() if len(path) > start}

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: There is no such file.
        """
        with _reported(self.url, missing=False):
            content: bytes = self.files.cat_file(self._path(name))
            return content

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, which appears at once as a whole."""
        with _reported(self.url):
            self.files.pipe_file(self._path(name), content)

    def upload(self, names: Iterable[str], source: Path) -> None:
        """Writes files from below a local folder, several at a time."""
        names = list(names)
        with _reported(self.url):
            self.files.put([str(source / name) for name in names], [self._path(name) for name in names])

    def download(self, names: Iterable[str], target: Path) -> None:
        """Reads files into a local folder, several at a time.

        Raises:
            FileNotFoundError: One of them is gone.
        """
        names = list(names)
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
        with _reported(self.url, missing=False):
            self.files.get([self._path(name) for name in names], [str(target / name) for name in names])

    def remove(self, names: Iterable[str]) -> None:
        """Removes files; it is no error if some are gone already."""
        with _reported(self.url):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    self.files.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"


def open_folder(url: str) -> RemoteFolder:
    """Finds the library for a URL; the store itself is not asked yet.

    Raises:
        InputError: The library is not installed, or the URL, the bucket or the permissions are wrong.
        RecstackError: The store cannot be reached.
    """
    import fsspec

    protocol, _, place = url.partition("://")
    if not place.strip("/"):
        raise InputError(f"{url}: names no bucket; expected a URL such as s3://bucket/models")
    url = url.rstrip("/")
    try:
        with _reported(url):
            # Object stores have no folders to make; a folder of this machine or of a network file system has.
            options = {"auto_mkdir": True} if protocol in _LOCAL else {}
            files, root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        command = f"pip install 'recstack[{extra}]'" if extra else f"install it ({first_line(error)})"
        raise InputError(f"{url}: the library for {protocol}:// is not installed; {command}") from error
    except ValueError as error:
        raise InputError(f"{url}: {first_line(error)}; expected a URL such as s3://bucket/models") from error
    # It logs, with tracebacks, what it also raises.
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    return RemoteFolder(url, files, root.rstrip("/"))


def read_file(path: str) -> bytes:
    """The content of a local file, or of one in an object store.

    Raises:
        OSError: The file is missing or cannot be read.
        RecstackError: As in `open_folder`.
    """
    if not is_url(path):
        return Path(path).read_bytes()
    folder, _, name = path.rpartition("/")
    return open_folder(folder).read(name)


@dataclass(frozen=True)
class StoredFile:
    """A file in an object store."""

    url: str
    """Where it is."""
    size: int
    """Bytes."""
    modified: float
    """When it was written, in seconds since the epoch; 0 if the store does not say."""


def find_files(url: str) -> list[StoredFile]:
    """The files that a URL means: a file, all below a folder, or those that match a pattern such as `s3://b/dt=*/*.csv`.

    Raises:
        InputError: As in `open_folder`.
        RecstackError: The store cannot be reached.
    """
    place = open_folder(url)
    with _reported(url):
        place.files.invalidate_cache()
        names = place.files.glob(place.root) if glob.has_magic(place.root) else [place.root]
        # A pattern such as `log/**` matches a folder and also the files in it.
        found = {entry["name"]: entry for name in names for entry in _entries(place.files, name)}
    return [StoredFile(_url_of(url, name), int(entry["size"]), _modified(entry)) for name, entry in found.items()]


def _entries(files: "AbstractFileSystem", name: str) -> list[Mapping[str, Any]]:
    """Name, size and time of a file, or of each file below a folder, as the store lists them."""
    with contextlib.suppress(FileNotFoundError):
        entry: Mapping[str, Any] = files.info(name)
        if entry["type"] == "file":
            return [entry]
    return list(files.find(name, detail=True).values())


def _url_of(url: str, name: str) -> str:
    """URL of a file that the store names without the protocol."""
    protocol = url.partition("://")[0]
    return f"{protocol}://{name}" if protocol in _LOCAL else f"{protocol}://{name.lstrip('/')}"


def _modified(entry: Mapping[str, Any]) -> float:
    """The stores' libraries name the time differently."""
    moment = next((entry[key] for key in _TIMES if entry.get(key)), 0.0)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)


def open_remote(url: str) -> IO[bytes]:
    """Opens a file in an object store for reading at any place.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: As in `open_folder`.
        RecstackError: The store cannot be reached.
    """
    place = open_folder(url)
    with _reported(url, missing=False):
        file: IO[bytes] = place.files.open(place.root, "rb", block_size=_BLOCK_BYTES)
        return file


def lost_store(url: str, error: Exception) -> RecstackError | None:
    """What to say of an error that a library raised while a file was read; None if it is about the file itself."""
    is_of_the_network = isinstance(error, ConnectionError | TimeoutError)
    if not is_of_the_network and type(error).__module__.partition(".")[0] not in _LIBRARIES:
        return None
    return RecstackError(f"{url}: {_SILENT.format(first_line(error))}")


@contextlib.contextmanager
def _reported(url: str, *, missing: bool = True) -> Iterator[None]:
    """Turns what the libraries raise into one line that names the place and says what to do.

    Args:
        url: The place.
        missing: Whether a missing file means that the bucket is missing; otherwise that error is passed on.
    """
    try:
        yield
    except ImportError:
        raise
    except FileNotFoundError as error:
        if not missing:
            raise
        raise InputError(f"{url}: no such bucket ({first_line(error)}); create it or correct the URL") from error
    except PermissionError as error:
        raise InputError(
            f"{url}: no permission ({first_line(error)}); check the credentials and what they may read and write"
        ) from error
    except Exception as error:
        if not _is_of_the_store(error):
            raise
        if isinstance(error, OSError) and error.errno in _FULL:
            raise InputError(f"{url}: cannot be copied ({first_line(error)}); make room on the disk") from error
        if "credentials" in str(error).lower():
            raise InputError(f"{url}: {first_line(error)}; set the store's credentials in the environment") from error
        raise RecstackError(f"{url}: {_SILENT.format(first_line(error))}") from error


def _is_of_the_store(error: Exception) -> bool:
    """Whether an error speaks of the store, the network or the disk, and not of a mistake in this program."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _LIBRARIES
