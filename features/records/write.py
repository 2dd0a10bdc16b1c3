"""Writes Arrow record batches as `tf.train.Example` records to TFRecord files, column by column, without TensorFlow.

An Example is a Protocol Buffers message. Its wire format (field tag, length, content) is written by array operations
over whole columns, about twenty times faster than one Python message per row. Keys are written in sorted order, so that
equal batches give equal bytes: those of `SerializeToString(deterministic=True)`.
"""

import os
import uuid
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from isal import isal_zlib

# First bytes of the fields: (number << 3) | 2, "length-delimited".
_FIELD_1 = b"\x0a"
_FIELD_2 = b"\x12"
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = b"\x0a", b"\x12", b"\x1a"

_BYTES_KINDS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)

_CRC_MASK_DELTA = 0xA282EAD8

_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # 16 asks for a gzip header, which holds no time
_FAST_LEVELS = 3
_ONE_BYTE = 128  # smaller numbers are varints of one byte

_Lengths = npt.NDArray[np.int64]


def encode_examples(batch: pa.RecordBatch) -> pa.LargeBinaryArray:
    """Serialises each row of the batch to one `tf.train.Example`.

    Args:
        batch: Columns of strings or bytes (also dictionary-encoded), int64 or float32, or lists of these. A column that
            is not a list gives a feature with one value.

    Returns:
        `[rows]` serialised Examples.

    Raises:
        ValueError: A column holds a null or is of another type.
    """
    total = np.zeros(batch.num_rows, np.int64)
    pieces: list[object] = []
    for name in sorted(batch.schema.names):
        entry, lengths = _map_entry(name, batch.column(name))
        pieces += entry
        total += lengths
    return _join([_FIELD_1, _varint_array(total), *pieces], batch.num_rows)


def _map_entry(name: str, column: pa.Array) -> tuple[list[object], _Lengths]:
    """Returns one entry of the Features map for each row, as pieces to join, and its length in bytes."""
    tag, packed, content, content_lengths = _list_content(name, column)
    packing: list[object] = []
    list_lengths = content_lengths
    if packed:
        # An empty packed field is not written at all.
        header = _prefixed(_FIELD_1, content_lengths, content_lengths > 0)
        packing = [header]
        list_lengths = content_lengths + _binary_lengths(header)
    key = name.encode()
    key_field = _FIELD_1 + _varint(len(key)) + key + _FIELD_2
    feature_lengths = 1 + _varint_lengths(list_lengths) + list_lengths
    entry_lengths = len(key_field) + _varint_lengths(feature_lengths) + feature_lengths
    pieces = [
        *(_FIELD_1, _varint_array(entry_lengths), key_field, _varint_array(feature_lengths)),
        *(tag, _varint_array(list_lengths), *packing, content),
    ]
    return pieces, 1 + _varint_lengths(entry_lengths) + entry_lengths


def _list_content(name: str, column: pa.Array) -> tuple[bytes, bool, pa.LargeBinaryArray, _Lengths]:
    """Returns the tag of the list's type, whether it is packed, and each row's values in wire format."""
    values, offsets = _values_and_offsets(name, column)
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if any(is_kind(kind) for is_kind in _BYTES_KINDS):
        entries = _bytes_entries(values)
        starts = _binary_offsets(entries)[offsets]
        return _BYTES_LIST, False, _binary(starts, entries.buffers()[2]), np.diff(starts)
    if pa.types.is_float32(kind):
        raw = np.ascontiguousarray(values.to_numpy(zero_copy_only=False), "<f4")
        return _FLOAT_LIST, True, _binary(offsets * 4, pa.py_buffer(raw)), np.diff(offsets * 4)
    if pa.types.is_int64(kind):
        data, ends = _varints(values.to_numpy(zero_copy_only=False).view(np.uint64))
        starts = ends[offsets]
        return _INT64_LIST, True, _binary(starts, pa.py_buffer(data)), np.diff(starts)
    raise ValueError(
        f"column {name!r} is of type {column.type}: string, binary, int64, float32 or lists of them expected"
    )


def _bytes_entries(values: pa.Array) -> pa.LargeBinaryArray:
    """Returns each value as an entry of a BytesList."""
    if pa.types.is_dictionary(values.type):
        if len(values.dictionary) < len(values):
            return _bytes_entries(values.dictionary).take(values.indices)
        values = values.dictionary_decode()
    values = pc.cast(values, pa.large_binary())
    return _join([_prefixed(_FIELD_1, _binary_lengths(values), np.ones(len(values), bool)), values], len(values))


def _values_and_offsets(name: str, column: pa.Array) -> tuple[pa.Array, _Lengths]:
    """Returns the flat values, and where the values of each row begin and end."""
    if column.null_count:
        raise ValueError(f"column {name!r} holds a null: Examples have no nulls, fill it first")
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        offsets = column.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
        values = column.values.slice(offsets[0], offsets[-1] - offsets[0])
        if values.null_count or (pa.types.is_dictionary(values.type) and values.dictionary.null_count):
            raise ValueError(f"column {name!r} holds a null inside a list: Examples have no nulls, fill it first")
        return values, offsets - offsets[0]
    return column, np.arange(len(column) + 1, dtype=np.int64)


def _varint_lengths(values: npt.NDArray[np.int64 | np.uint64]) -> _Lengths:
    unsigned = values.astype(np.uint64, copy=False)
    lengths = np.ones(len(values), np.int64)
    top = int(unsigned.max(initial=0))
    for shift in range(7, max(top.bit_length(), 1), 7):
        lengths += unsigned >= np.uint64(1 << shift)
    return lengths


def _varints(values: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint8], _Lengths]:
    """Returns the base-128 encodings of the values, concatenated, and their `[n + 1]` offsets."""
    if len(values) and (size := _varint_length(int(values.max()))) == _varint_length(int(values.min())):
        # All of one size, such as times: a table of septets, all but the last with the continuation bit.
        table = np.empty((len(values), size), np.uint8)
        for place in range(size):
            table[:, place] = (values >> np.uint64(7 * place)).astype(np.uint8) | np.uint8(0x80)
        table[:, -1] &= np.uint8(0x7F)
        return table.ravel(), np.arange(len(values) + 1) * size
    lengths = _varint_lengths(values)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    data = np.empty(offsets[-1], np.uint8)
    for place in range(int(lengths.max(initial=0))):
        longer = lengths > place
        septets = (values[longer] >> np.uint64(7 * place)).astype(np.uint8) & np.uint8(0x7F)
        septets[lengths[longer] > place + 1] |= np.uint8(0x80)
        data[offsets[:-1][longer] + place] = septets
    return data, offsets


def _varint_length(value: int) -> int:
    return max(1, -(-value.bit_length() // 7))


def _varint_array(values: _Lengths) -> pa.LargeBinaryArray:
    data, offsets = _varints(values.astype(np.uint64))
    return _binary(offsets, pa.py_buffer(data))


def _varint(value: int) -> bytes:
    data, _ = _varints(np.array([value], np.uint64))
    return data.tobytes()


def _prefixed(field: bytes, lengths: _Lengths, where: npt.NDArray[np.bool_]) -> pa.LargeBinaryArray:
    """Returns the field's first byte and the length as a varint; nothing where `where` is false."""
    if len(lengths) and int(lengths.max()) < _ONE_BYTE and where.all():
        table = np.empty((len(lengths), 2), np.uint8)
        table[:, 0], table[:, 1] = field[0], lengths
        return _fixed_width(table)
    sizes = np.where(where, 1 + _varint_lengths(lengths), 0)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    data = np.empty(offsets[-1], np.uint8)
    body = np.ones(offsets[-1], bool)
    body[offsets[:-1][where]] = False
    data[offsets[:-1][where]] = field[0]
    data[body] = _varints(lengths[where].astype(np.uint64))[0]
    return _binary(offsets, pa.py_buffer(data))


def _join(pieces: list[object], rows: int) -> pa.LargeBinaryArray:
    """Concatenates the pieces row by row; a piece of `bytes` is repeated in each row."""
    kind = pa.large_binary()
    if rows == 0:
        return pa.array([], kind)
    arguments = [pa.scalar(piece, kind) if isinstance(piece, bytes) else piece for piece in pieces]
    return pc.binary_join_element_wise(*arguments, pa.scalar(b"", kind))


def _binary(offsets: _Lengths, data: pa.Buffer) -> pa.LargeBinaryArray:
    offset_buffer = pa.py_buffer(np.ascontiguousarray(offsets, np.int64))
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, [None, offset_buffer, data])


def _binary_offsets(array: pa.LargeBinaryArray) -> _Lengths:
    raw = np.frombuffer(array.buffers()[1], np.int64)
    return np.asarray(raw[array.offset : array.offset + len(array) + 1])


def _binary_lengths(array: pa.LargeBinaryArray) -> _Lengths:
    return np.asarray(np.diff(_binary_offsets(array)))


def frame_records(records: pa.LargeBinaryArray) -> bytes:
    """Frames records as TFRecord files do: length, its checksum, the record, its checksum.

    Numbers are little endian and checksums are masked CRC-32C.

    Args:
        records: `[n]` serialised records, none null.

    Returns:
        The framed records, concatenated.
    """
    if len(records) == 0:
        return b""
    lengths = _binary_lengths(records)
    distinct, place = np.unique(lengths, return_inverse=True)
    length_crcs = _masked([google_crc32c.value(int(length).to_bytes(8, "little")) for length in distinct])
    heads = np.empty((len(records), 12), np.uint8)
    heads[:, :8] = lengths.astype("<u8").view(np.uint8).reshape(-1, 8)
    heads[:, 8:] = length_crcs[place].view(np.uint8).reshape(-1, 4)
    crcs = _masked([google_crc32c.value(record) for record in records.to_pylist()])
    framed = _join([_fixed_width(heads), records, _fixed_width(crcs.view(np.uint8).reshape(-1, 4))], len(records))
    return bytes(framed.buffers()[2])


def _fixed_width(rows: npt.NDArray[np.uint8]) -> pa.LargeBinaryArray:
    return _binary(np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1], pa.py_buffer(np.ascontiguousarray(rows)))


def _masked(checksums: list[int]) -> npt.NDArray[np.uint32]:
    # The mask of the TFRecord format: a checksum over data that holds checksums would be weak.
    crc = np.array(checksums, np.uint64)
    return (
        ((crc >> np.uint64(15) | crc << np.uint64(17)) + np.uint64(_CRC_MASK_DELTA)) & np.uint64(0xFFFFFFFF)
    ).astype("<u4")


def write_shard(path: Path, batches: Iterable[pa.RecordBatch], compression_level: int) -> int:
    """Writes a gzip TFRecord file under a temporary name and renames it, so that several attempts leave one whole file.

    Args:
        path: The shard; its directory exists.
        batches: Rows to serialise; one batch at a time is held in memory.
        compression_level: Level of gzip, 1 to 9.

    Returns:
        Number of records.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    records = 0
    compressor = _compressor(compression_level)
    try:
        with temporary.open("wb") as file:
            for batch in batches:
                records += batch.num_rows
                file.write(compressor.compress(frame_records(encode_examples(batch))))
            file.write(compressor.flush())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return records


def _compressor(level: int) -> Any:
    """ISA-L has three levels; at the first it is four times as fast as zlib, and its files are no larger."""
    if level <= _FAST_LEVELS:
        return isal_zlib.compressobj(level, isal_zlib.DEFLATED, _GZIP_WINDOW)
    return zlib.compressobj(level, zlib.DEFLATED, _GZIP_WINDOW)
