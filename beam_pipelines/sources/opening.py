"""Opens local files and files of Beam's file systems, and decompresses them on the way."""

from pathlib import Path

import pyarrow as pa
from apache_beam.io.filesystems import FileSystems

from features.errors import InputError


def is_remote(path: str) -> bool:
    """Whether a path belongs to a Beam file system."""
    return "://" in path


def open_file(path: str) -> pa.NativeFile:
    """Opens a file for random access."""
    if is_remote(path):
        return pa.PythonFile(FileSystems.open(path, compression_type="uncompressed"), mode="r")
    return pa.OSFile(path, "r")


def open_stream(path: str) -> pa.NativeFile:
    """Opens a file for reading from its beginning; `.gz` is decompressed."""
    file = open_file(path)
    return pa.CompressedInputStream(file, "gzip") if path.endswith(".gz") else file


def without_compression(path: str) -> str:
    """The file's name without the ending of its compression."""
    return path.removesuffix(".gz")


def require_readable(path: str) -> None:
    """Checks that this process may read a local file.

    Raises:
        InputError: it may not.
    """
    if is_remote(path):
        return
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); mend its mode or choose another") from error
