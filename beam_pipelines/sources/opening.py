"""Opens local files and files in object stores, and decompresses them on the way."""

import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

from features.disk.object_store import is_url, open_remote
from features.errors import InputError

# A file's compression is told by its first bytes, whatever its name says.
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\x00": "xz", b"PK\x03\x04": "zip"}
_LONGEST_MAGIC = max(map(len, _MAGIC))
COMPRESSED_ENDINGS = (".gz", ".gzip", ".bz2", ".zst", ".zstd", ".xz", ".zip")


def open_file(path: str) -> pa.NativeFile:
    """Opens a file for random access."""
    if is_url(path):
        return pa.PythonFile(open_remote(path), mode="r")
    return pa.OSFile(path, "r")


def open_stream(path: str) -> pa.NativeFile:
    """Opens a file for reading from its beginning, decompressed.

    Raises:
        InputError: a zip archive holds several files, or none.
    """
    file = open_file(path)
    head = file.read(_LONGEST_MAGIC)
    file.seek(0)
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return _DECOMPRESSED[name](file, path)
    return file


def _by_arrow(name: str) -> Callable[[pa.NativeFile, str], pa.NativeFile]:
    return lambda file, _: pa.CompressedInputStream(file, name)


def _xz(file: pa.NativeFile, _path: str) -> pa.NativeFile:
    return pa.PythonFile(lzma.open(cast(IO[bytes], file)), mode="r")


def _zip(file: pa.NativeFile, path: str) -> pa.NativeFile:
    archive = zipfile.ZipFile(cast(IO[bytes], file))
    # Folders, and what a Mac adds.
    members = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if len(members) != 1:
        if "[Content_Types].xml" in members:
            raise InputError(f"{path}: is a spreadsheet; name its format by the source's `format`: 'excel'")
        shown = ", ".join(members[:5]) or "none"
        raise InputError(f"{path}: expected an archive of one file, found {len(members)} ({shown}); unpack it")
    return pa.PythonFile(archive.open(members[0]), mode="r")


_DECOMPRESSED: dict[str, Callable[[pa.NativeFile, str], pa.NativeFile]] = {
    "gzip": _by_arrow("gzip"),
    "bz2": _by_arrow("bz2"),
    "zstd": _by_arrow("zstd"),
    "xz": _xz,
    "zip": _zip,
}


def without_compression(path: str) -> str:
    """The file's name without the ending of its compression."""
    for ending in COMPRESSED_ENDINGS:
        if path.lower().endswith(ending):
            return path[: -len(ending)]
    return path


def require_readable(path: str) -> None:
    """Checks that this process may read a local file.

    Raises:
        InputError: it may not.
    """
    if is_url(path):
        return
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); mend its mode or choose another") from error
