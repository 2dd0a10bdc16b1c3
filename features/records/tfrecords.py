"""Reads TFRecord files without TensorFlow.

A record is its length, a checksum of the length, its bytes, and a checksum of the bytes.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from features.errors import InputError

_HEADER = struct.Struct("<QI")
_CHECKSUM_BYTES = 4


def read_tfrecords(path: Path) -> Iterator[bytes]:
    """Yields the records of an uncompressed file; checksums are not verified.

    Raises:
        InputError: The file cannot be read, or ends within a record.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            while header := file.read(_HEADER.size):
                length = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else size
                if file.tell() + length + _CHECKSUM_BYTES > size:
                    raise InputError(f"{path}: not a TFRecord file, or truncated; leave it out")
                yield file.read(length)
                file.seek(_CHECKSUM_BYTES, 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
