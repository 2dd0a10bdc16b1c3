"""JSON to tensors and back, by the rules of TensorFlow Serving's REST API.

Types are strict: a float takes a number, an integer a whole number, a boolean true or false, and a string takes text or
`{"b64": …}`.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.protocol.tensor_proto import KINDS
from features.protocol.wire import DataType
from serving.errors import Code, ServingError, invalid_argument

Json = Any
"""A value that `json.loads` returns."""

_FLOATS = (DataType.FLOAT, DataType.DOUBLE)
_INTEGERS = {
    # As in the real server, types of up to 32 bits take any 32-bit number and keep the low bits.
    DataType.INT32: (-(2**31), 2**31 - 1),
    DataType.INT16: (-(2**31), 2**31 - 1),
    DataType.INT8: (-(2**31), 2**31 - 1),
    DataType.UINT8: (-(2**31), 2**31 - 1),
    DataType.INT64: (-(2**63), 2**63 - 1),
    DataType.UINT32: (0, 2**32 - 1),
    DataType.UINT64: (0, 2**64 - 1),
}
_BYTES_SUFFIX = "_bytes"
_BASE64_SPACE = str.maketrans("", "", " \t\r\n\f\v")
# Only numbers with this many digits, or with such an exponent, can exceed a double.
_MAYBE_TOO_BIG = re.compile(rb"[eE]\+?[0-9]{3}|[0-9]{309}")
_SHOWN = 200


def parse_object(body: bytes) -> dict[str, Json]:
    """Parses a request body, which must be a JSON object.

    Raises:
        ServingError: It is not.
    """
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        document = json.loads(body, parse_float=_finite) if _MAYBE_TOO_BIG.search(body) else json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid_argument(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise invalid_argument(f"JSON Value: {shown(document)} Is not object")
    return document


def write_body(document: Json) -> bytes:
    """A response body, laid out like the real server's."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode("utf-8", "replace")


def _finite(text: str) -> float:
    # Python would silently read 1e400 as infinity.
    number = float(text)
    if math.isinf(number):
        raise ValueError("Number too big to be stored in double.")
    return number


def shown(value: Json) -> str:
    """A value for an error message, truncated if it is long."""
    try:
        text = json.dumps(value)
    except RecursionError:
        text = "(too deep)"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def signature_name(document: Mapping[str, Json]) -> str:
    """The name of the requested signature; empty for the default one.

    Raises:
        ServingError: It is not a string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid_argument(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def is_base64(value: Json) -> bool:
    """Whether a value is `{"b64": "…"}`."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decode_base64(value: Mapping[str, str]) -> bytes:
    """Decodes `{"b64": "…"}`; white space and missing padding are accepted.

    Raises:
        ServingError: It is not base64.
    """
    text = value["b64"].translate(_BASE64_SPACE).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid_argument("Unable to base64 decode") from None


def to_array(value: Json, dtype: int) -> NDArray[Any]:
    """Converts a value or nested lists to a dense tensor.

    Args:
        value: A value, or nested lists of equal depth and sizes.
        dtype: The values' `DataType`.

    Raises:
        ServingError: The lists are ragged, or a value has another type.
    """
    shape = _shape(value)
    flat: list[Any] = []
    try:
        _collect(value, shape, 0, flat, _converter(dtype))
    except RecursionError:
        raise invalid_argument("JSON Value is nested too deeply") from None
    if dtype in _INTEGERS:
        wide = np.uint64 if dtype == DataType.UINT64 else np.int64
        return np.array(flat, wide).astype(KINDS[dtype].dtype).reshape(shape)
    array = np.empty(len(flat), KINDS[dtype].dtype)
    with np.errstate(over="ignore"):
        array[:] = flat
    return array.reshape(shape)


def _shape(value: Json) -> list[int]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _collect(value: Json, shape: list[int], level: int, flat: list[Any], convert: Callable[[Json], Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid_argument(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        flat.append(convert(value))
        return
    if level >= len(shape):
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for each in value:
        _collect(each, shape, level + 1, flat, convert)


def _converter(dtype: int) -> Callable[[Json], Any]:
    kind = DataType(dtype) if dtype in KINDS else None
    if kind in _FLOATS:
        return lambda value: _float(value, kind)
    if kind in _INTEGERS:
        return lambda value: _integer(value, kind)
    if kind is DataType.BOOL:
        return _boolean
    if kind is DataType.STRING:
        return _text
    name = dtype_name(dtype)
    raise ServingError(Code.UNIMPLEMENTED, f"Conversion of JSON values to type: {name}")


def json_type(value: Json) -> str:
    """Name of a value's JSON type, as the real server's error messages have it."""
    if isinstance(value, bool):
        return str(value)
    return {dict: "Object", list: "Array", str: "String", type(None): "Null"}.get(type(value), "Number")


def _type_error(value: Json, kind: int) -> ServingError:
    return invalid_argument(
        f"JSON Value: {shown(value)} Type: {json_type(value)} is not of expected type: {dtype_name(kind)}"
    )


def dtype_name(kind: int) -> str:
    """TensorFlow's C++ name of a type, such as `float`."""
    return DataType(kind).name.lower() if kind in KINDS else f"type {kind}"


def _float(value: Json, kind: DataType) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _type_error(value, kind)
    digits, largest = (24, float(np.finfo(np.float32).max)) if kind is DataType.FLOAT else (53, math.inf)
    lossy = abs(value) >= 2**digits if isinstance(value, int) else math.isfinite(value) and abs(value) > largest
    if lossy:
        raise invalid_argument(
            f"Cannot convert JSON value: {shown(value)} to {dtype_name(kind)} without loss of precision."
        )
    return float(value)


def _integer(value: Json, kind: DataType) -> int:
    low, high = _INTEGERS[kind]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _type_error(value, kind)
    return value


def _boolean(value: Json) -> bool:
    if not isinstance(value, bool):
        raise _type_error(value, DataType.BOOL)
    return value


def _text(value: Json) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict):
        if not is_base64(value):
            raise invalid_argument(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
        return decode_base64(value)
    raise _type_error(value, DataType.STRING)


def to_json(array: NDArray[Any], alias: str) -> Json:
    """Converts a tensor to nested lists.

    Floats are written with the fewest digits that read back as the same number. Strings are text, or `{"b64": …}` if
    the alias ends in `_bytes`.

    Raises:
        ServingError: JSON has no representation for the type.
    """
    kind = array.dtype
    if kind.hasobject:
        write = _base64_text if alias.endswith(_BYTES_SUFFIX) else _plain_text
        values = np.empty(array.shape, object)
        values.ravel()[:] = [write(value) for value in array.ravel()]
        return values.tolist()
    if kind == np.float32:
        # 0.1 in 32 bits is 0.10000000149 in 64: convert the shortest digits, not the bits.
        return array.astype("U").astype(np.float64).tolist()
    if kind.kind in "biuf" and kind != np.float16:
        return array.tolist()
    raise invalid_argument(f"Failed to write JSON value for tensor type: {kind}")


def _plain_text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _base64_text(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode("ascii")}
