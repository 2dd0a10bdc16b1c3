"""TFRecord files without TensorFlow: a record is its length, a checksum of that, its bytes, and a checksum of those."""

import struct
from collections.abc import Iterator
from pathlib import Path

from features.errors import InputError

_HEADER = struct.Struct("<QI")
_CHECKSUM_BYTES = 4


def read_tfrecords(path: Path) -> Iterator[bytes]:
    """The records of an uncompressed file; checksums are not looked at.

    Raises:
        InputError: the file cannot be read, or ends within a record.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            while header := file.read(_HEADER.size):
                length = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else size
                if file.tell() + length + _CHECKSUM_BYTES > size:
                    raise InputError(f"{path}: no TFRecord file, or cut off; leave it out")
                yield file.read(length)
                file.seek(_CHECKSUM_BYTES, 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
