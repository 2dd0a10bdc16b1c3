"""Reads TFRecord files without TensorFlow.

A record is its length, a checksum of the length, its bytes, and a checksum of the bytes.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from features.errors import InputError

_HEADER = struct.Struct("<QI")
_CHECKSUM_BYTES = 4
_BLOCK_BYTES = 2**20


def read_tfrecords(path: Path) -> Iterator[bytes]:
    """Yields the records of a file, which is compressed by gzip if its name ends in `.gz`; checksums are not verified.

    Raises:
        InputError: The file cannot be read, or ends within a record.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while header := file.read(_HEADER.size):
                if len(header) < _HEADER.size:
                    raise EOFError
                record = _read(file, _HEADER.unpack(header)[0])
                _read(file, _CHECKSUM_BYTES)
                yield record
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise InputError(f"{path}: not a TFRecord file, or truncated; leave it out") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _read(file: IO[bytes] | gzip.GzipFile, length: int) -> bytes:
    # In blocks: in a file of another kind the length is any number, and no buffer of that size should be made.
    parts: list[bytes] = []
    while length:
        part = file.read(min(length, _BLOCK_BYTES))
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
