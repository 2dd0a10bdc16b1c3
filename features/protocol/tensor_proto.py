"""Converts TensorProto to NumPy and back, as TensorFlow's `Tensor::FromProto` and `Tensor::AsProtoField` do.

`tf.make_ndarray` and `tf.make_tensor_proto` take about 90 us for one call of each. These functions take a few, also
work on the messages of `features.protocol.wire`, and need no TensorFlow.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from features.protocol.wire import DataType, TensorProto

MAX_TENSOR_BYTES = 2**31 - 1
"""Largest tensor to decode. A shape without values stands for zeros, so a short message could ask for any size."""


class ParseError(ValueError):
    """The proto does not describe a tensor."""


_Read = Callable[[Any, np.dtype[Any]], NDArray[Any]]
"""Converts the values of a typed field to a flat array of the given type."""


class _Kind(NamedTuple):
    dtype: np.dtype[Any]
    field: str  # the typed field of TensorProto that holds values of this kind
    tag: int  # that field's key on the wire, length-delimited; 0 where the values are not fixed-width
    words: int  # entries of the field for one value (a complex number takes two)


def _kind(dtype: Any, field: str, words: int = 1) -> _Kind:
    number = TensorProto.DESCRIPTOR.fields_by_name[field].number
    fixed_width = field in ("float_val", "double_val", "scomplex_val", "dcomplex_val")
    return _Kind(np.dtype(dtype), field, number << 3 | 2 if fixed_width else 0, words)


KINDS: dict[int, _Kind] = {
    DataType.FLOAT: _kind(np.float32, "float_val"),
    DataType.DOUBLE: _kind(np.float64, "double_val"),
    DataType.INT32: _kind(np.int32, "int_val"),
    DataType.UINT8: _kind(np.uint8, "int_val"),
    DataType.INT16: _kind(np.int16, "int_val"),
    DataType.INT8: _kind(np.int8, "int_val"),
    DataType.STRING: _kind(object, "string_val"),
    DataType.COMPLEX64: _kind(np.complex64, "scomplex_val", 2),
    DataType.INT64: _kind(np.int64, "int64_val"),
    DataType.BOOL: _kind(np.bool_, "bool_val"),
    DataType.BFLOAT16: _kind(ml_dtypes.bfloat16, "half_val"),
    DataType.UINT16: _kind(np.uint16, "int_val"),
    DataType.COMPLEX128: _kind(np.complex128, "dcomplex_val", 2),
    DataType.HALF: _kind(np.float16, "half_val"),
    DataType.UINT32: _kind(np.uint32, "uint32_val"),
    DataType.UINT64: _kind(np.uint64, "uint64_val"),
}

_NUMBERS = {kind.dtype: number for number, kind in KINDS.items()}


def dtype_number(array: NDArray[Any]) -> int:
    """Returns TensorFlow's number for an array's type; arrays of text are strings."""
    return DataType.STRING if array.dtype.kind in "OSU" else _NUMBERS[array.dtype]


def decode(proto: Any) -> NDArray[Any]:
    """Returns the array that a TensorProto describes.

    If there are fewer values than the shape asks for, the last one is repeated; without any, all are zero or empty.

    Raises:
        ParseError: The type is unknown, a dimension is unknown or negative, the tensor is too large, or the content has
            the wrong length.
    """
    kind = KINDS.get(proto.dtype)
    if kind is None:
        raise ParseError("type")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ParseError("shape")
    count = math.prod(shape)
    if count * (kind.dtype.itemsize or 1) > MAX_TENSOR_BYTES:
        raise ParseError("size")
    if count and proto.tensor_content:
        flat = _from_content(kind, proto.tensor_content, count)
    else:
        flat = _from_values(kind, getattr(proto, kind.field), count)
    return flat.reshape(shape)


def _from_content(kind: _Kind, content: bytes, count: int) -> NDArray[Any]:
    if kind.dtype == object:
        return _from_string_list(content, count)
    if len(content) != count * kind.dtype.itemsize:
        raise ParseError("content")
    return np.frombuffer(content, kind.dtype)


def _from_string_list(content: bytes, count: int) -> NDArray[Any]:
    # TensorFlow's EncodeStringList: all lengths as varints, then all bytes.
    lengths, at = [], 0
    for _ in range(count):
        length = shift = 0
        while True:
            if at >= len(content) or shift > 63:
                raise ParseError("content")
            byte = content[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if sum(lengths) != len(content) - at:
        raise ParseError("content")
    values = np.empty(count, object)
    for index, length in enumerate(lengths):
        values[index] = content[at : at + length]
        at += length
    return values


def _from_values(kind: _Kind, values: Any, count: int) -> NDArray[Any]:
    given = len(values) // kind.words
    if kind.dtype == object:
        flat = np.full(count, values[given - 1] if 0 < given < count else b"", object)
        flat[: min(given, count)] = values[:count]
        return flat
    read: _Read = _READ.get(kind.field, np.fromiter)
    if given == count:
        return read(values, kind.dtype)
    flat = np.zeros(count, kind.dtype)
    if given and count:
        taken = read(values[: min(given, count) * kind.words], kind.dtype)
        flat[: len(taken)] = taken
        flat[len(taken) :] = taken[-1]
    return flat


def _read_integers(values: Iterable[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    # int_val is 32 bits wide whatever the type; a narrower type keeps the low bits, as a C++ cast does.
    return np.fromiter(values, np.int32).astype(dtype, copy=False)


def _read_halves(values: Iterable[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.fromiter(values, np.int32).astype(np.uint16).view(dtype)


def _read_complex(values: Iterable[float], dtype: np.dtype[Any]) -> NDArray[Any]:
    part = np.float32 if dtype == np.complex64 else np.float64
    floats = np.fromiter(values, part)
    pairs: NDArray[Any] = floats[: len(floats) // 2 * 2].view(dtype)
    return pairs


_READ: dict[str, _Read] = {
    "int_val": _read_integers,
    "half_val": _read_halves,
    "scomplex_val": _read_complex,
    "dcomplex_val": _read_complex,
}


def encode(array: NDArray[Any], proto: Any, *, as_content: bool = False) -> None:
    """Writes an array into an empty TensorProto.

    Args:
        array: Of any shape; strings as an object array of bytes.
        proto: The message to fill.
        as_content: Whether to write `tensor_content` instead of the typed field where the type allows it.
    """
    number = dtype_number(array)
    kind = KINDS[number]
    proto.dtype = number
    dims = proto.tensor_shape.dim
    for size in array.shape:
        dims.add().size = size
    if number == DataType.STRING:
        proto.string_val.extend(value if isinstance(value, bytes) else str(value).encode() for value in array.flat)
    elif as_content:
        proto.tensor_content = array.tobytes()
    elif kind.tag:
        _append_fixed_width(proto, kind.tag, array.tobytes())
    elif kind.field == "half_val":
        proto.half_val.extend(array.view(np.uint16).ravel().tolist())
    else:
        getattr(proto, kind.field).extend(array.ravel().tolist())


def _append_fixed_width(proto: Any, tag: int, content: bytes) -> None:
    # A packed field is its key, its length and the bytes of its values: one copy instead of one Python float per value.
    header = bytearray((tag,))
    length = len(content)
    while length > 0x7F:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    proto.MergeFromString(bytes(header) + content)
