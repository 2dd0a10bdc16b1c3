"""Converts the values of a request to arrays of the signature's types, and checks them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import InputError
from features.protocol.ranks import describe_rank
from features.protocol.tensor_proto import KINDS
from features.protocol.wire import DataType
from serving.client.signatures import TensorSpec

_MOST_SHOWN = 60


def as_array(values: ArrayLike, spec: TensorSpec | None = None) -> NDArray[Any]:
    """Converts values to an array of the type that a signature wants.

    Args:
        values: An array, or nested lists; rows of unequal length are padded on the right with the missing value (`""`
            or 0). Text is encoded as UTF-8.
        spec: The input's spec; without it NumPy chooses the type, and Python floats become float32.

    Raises:
        InputError: A value does not fit the type.
    """
    if isinstance(values, np.ndarray) and (spec is None or values.dtype == KINDS[spec.dtype].dtype):
        return values
    rows = _filled(values) if isinstance(values, Sequence) and not isinstance(values, str | bytes) else values
    try:
        array = np.asarray(rows)
    except ValueError:
        raise InputError(f"expected lists of equal depth, got {_shown(values)}") from None
    if array.dtype.kind in "OSU":
        if spec is not None and spec.dtype is not DataType.STRING and array.size:
            raise InputError(f"expected {spec.dtype.name} values, got {array.tolist()!r:.60}")
        return np.vectorize(_bytes, otypes=[object])(array) if array.size else array.astype(object)
    if spec is not None:
        if spec.dtype is DataType.STRING and array.size:
            raise InputError(f"expected text, got {array.dtype} values")
        return _cast(array, np.dtype(KINDS[spec.dtype].dtype))
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _cast(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(dtype)
    changed = cast != array if dtype.kind in "iu" else np.zeros(array.shape, bool)
    if changed.any():
        raise InputError(f"expected whole numbers that {dtype} holds, got {array[changed].flat[0]}")
    return cast


def _filled(values: Sequence[Any]) -> Sequence[Any]:
    rows = [list(row) if isinstance(row, list | tuple | np.ndarray) else row for row in values]
    if not all(isinstance(row, list) for row in rows):
        return rows
    longest = max(map(len, rows), default=0)
    texts = any(isinstance(value, str | bytes) for row in rows for value in row)
    return [row + ["" if texts else 0] * (longest - len(row)) for row in rows]


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def input_array(alias: str, values: ArrayLike, spec: TensorSpec | None) -> NDArray[Any]:
    """`as_array`, with the input's name in its errors, and its rank checked if the spec is known.

    Raises:
        InputError: The values do not fit the type or the rank of the input.
    """
    try:
        array = as_array(values, spec)
    except InputError as error:
        raise InputError(f"{alias}: {error}") from None
    if spec is not None and spec.shape is not None and array.ndim != len(spec.shape):
        raise InputError(f"{alias}: expected {describe_rank(len(spec.shape))}, got {_shown(values)}")
    return array


def _shown(values: Any) -> str:
    text = repr(values)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def check_batch(sent: Mapping[str, Any], inputs: Mapping[str, TensorSpec]) -> None:
    """Checks that all inputs have as many values as the required one, or one for the whole batch.

    Raises:
        InputError: One has another number of values.
    """
    sizes = {
        alias: len(values)
        for alias, values in sent.items()
        if inputs[alias].shape and isinstance(values, Sequence | np.ndarray) and not isinstance(values, str | bytes)
    }
    required = [size for alias, size in sizes.items() if inputs[alias].required]
    batch = max(required or sizes.values(), default=1)
    for alias, size in sizes.items():
        if size not in (1, batch):
            raise InputError(f"{alias}: expected {batch} values, one per query, or one for all queries, got {size}")


def for_a_batch(values: Any, spec: TensorSpec) -> Any:
    """Turns a bound or a list for the whole batch into a batch of one, which the signatures broadcast."""
    if spec.shape is None or isinstance(values, np.ndarray):
        return values
    depth, inner = 0, values
    while isinstance(inner, Sequence) and not isinstance(inner, str | bytes):
        depth, inner = depth + 1, next(iter(inner), None)
    return [values] if depth == len(spec.shape) - 1 else values
