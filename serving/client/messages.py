"""Builds requests and reads responses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import InputError
from features.protocol.ranks import describe_rank
from features.protocol.tensor_proto import KINDS, decode, dtype_number, encode
from features.protocol.wire import (
    DataType,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
)

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RESPONSES = {PREDICT: PredictResponse, METADATA: GetModelMetadataResponse, STATUS: GetModelStatusResponse}
"""Response message by method."""

DEFAULT_SIGNATURE = "serving_default"
RETRIEVE_SIGNATURE = "retrieve"
_MOST_SHOWN = 60
COUNT_INPUTS = {"k", "limit"}
EXCLUDE_INPUT = "exclude_item_ids"
STATES = {10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}


@dataclass(frozen=True)
class Recommendation:
    """A recommended item; higher scores are better, and only scores of the same response are comparable."""

    item_id: str
    score: float


@dataclass(frozen=True)
class VersionState:
    """State of a model version, as reported by the server."""

    version: int
    state: str
    """START, LOADING, AVAILABLE, UNLOADING or END."""
    error_code: int
    """Canonical status code; 0 if nothing failed."""
    error_message: str


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a signature."""

    dtype: DataType
    shape: tuple[int | None, ...] | None
    """None for a shape, or a dimension of it, that is not fixed."""
    required: bool = True
    """Whether a request must pass it."""


@dataclass(frozen=True)
class SignatureSpec:
    """Inputs and outputs of a signature, by alias."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


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


def predict_request(
    model: str, signature: str, inputs: Mapping[str, ArrayLike], specs: Mapping[str, TensorSpec] | None = None
) -> Any:
    """Builds a PredictRequest.

    Args:
        model: The model's name.
        signature: The signature's name.
        inputs: Arrays or nested lists by alias.
        specs: The inputs' specs by alias, if they are known.

    Raises:
        InputError: A value does not fit the type or the rank of its input.
    """
    request = PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for alias, values in inputs.items():
        array = _input_array(alias, values, None if specs is None else specs.get(alias))
        encode(array, request.inputs[alias], as_content=dtype_number(array) != DataType.STRING)
    return request


def _input_array(alias: str, values: ArrayLike, spec: TensorSpec | None) -> NDArray[Any]:
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


def restrictions(exclude: Sequence[Sequence[str]] | None, filters: Mapping[str, object] | None) -> dict[str, object]:
    """The inputs that restrict what `recommend` returns, by name."""
    inputs: dict[str, object] = dict(filters or {})
    if exclude is not None:
        inputs[EXCLUDE_INPUT] = [list(row) for row in exclude] if any(exclude) else [[""] for _ in exclude]
    return inputs


def recommend_request(
    model: str,
    signatures: Mapping[str, SignatureSpec],
    query: Mapping[str, Sequence[object]],
    k: int,
    restricting: Mapping[str, object],
) -> Any:
    """Builds the PredictRequest behind `recommend`.

    Args:
        model: The model's name.
        signatures: The model's signatures.
        query: Raw values by feature name.
        k: Number of items per query.
        restricting: Inputs made by `restrictions`.

    Raises:
        InputError: The model has no such input, or a value does not fit the type of its input.
    """
    name = RETRIEVE_SIGNATURE if RETRIEVE_SIGNATURE in signatures else DEFAULT_SIGNATURE
    inputs = signatures[name].inputs
    unknown = sorted((query.keys() | restricting.keys()) - inputs.keys())
    if unknown:
        raise InputError(
            f"model {model!r}: signature {name!r} has no input {', '.join(unknown)}; its inputs are "
            f"{', '.join(sorted(inputs))}"
        )
    sent: dict[str, Any] = dict(query)
    sent.update({alias: _for_a_batch(values, inputs[alias]) for alias, values in restricting.items()})
    sent.update(dict.fromkeys(COUNT_INPUTS & inputs.keys(), k))
    _check_batch(sent, inputs)
    return predict_request(model, name, sent, inputs)


def _check_batch(sent: Mapping[str, Any], inputs: Mapping[str, TensorSpec]) -> None:
    """Checks that all inputs have as many values as the required one, or one for the whole batch."""
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


def _for_a_batch(values: Any, spec: TensorSpec) -> Any:
    """Turns a bound or a list for the whole batch into a batch of one, which the signatures broadcast."""
    if spec.shape is None or isinstance(values, np.ndarray):
        return values
    depth, inner = 0, values
    while isinstance(inner, Sequence) and not isinstance(inner, str | bytes):
        depth, inner = depth + 1, next(iter(inner), None)
    return [values] if depth == len(spec.shape) - 1 else values


def read_outputs(response: Any) -> dict[str, NDArray[Any]]:
    """Arrays by output alias; strings are object arrays of bytes."""
    return {alias: decode(proto) for alias, proto in response.outputs.items()}


def read_recommendations(response: Any, k: int) -> list[list[Recommendation]]:
    """One list per query, best item first, of at most `k` items; padding is removed."""
    outputs = read_outputs(response)
    return [
        [
            Recommendation(item.decode(), float(score))
            for item, score in zip(items, scores, strict=True)
            if item and score > -np.inf
        ][:k]
        for items, scores in zip(outputs["item_ids"], outputs["scores"], strict=True)
    ]


def status_request(model: str) -> Any:
    """Builds a GetModelStatusRequest for all versions."""
    request = GetModelStatusRequest()
    request.model_spec.name = model
    return request


def read_status(response: Any) -> list[VersionState]:
    """The versions that the server knows, newest first."""
    return [
        VersionState(each.version, STATES.get(each.state, "UNKNOWN"), each.status.error_code, each.status.error_message)
        for each in response.model_version_status
    ]


def metadata_request(model: str) -> Any:
    """Builds a GetModelMetadataRequest for the signatures."""
    request = GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = model
    return request


def read_metadata(response: Any) -> dict[str, SignatureSpec]:
    """Inputs and outputs by signature, without TensorFlow's initialisation op."""
    signatures = SignatureDefMap.FromString(response.metadata["signature_def"].value)
    return {
        name: SignatureSpec(
            {alias: _spec(info, alias not in each.defaults) for alias, info in each.inputs.items()},
            {alias: _spec(info, True) for alias, info in each.outputs.items()},
        )
        for name, each in signatures.signature_def.items()
        if not name.startswith("__")
    }


def _spec(info: Any, required: bool) -> TensorSpec:
    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else tuple(None if dim.size < 0 else dim.size for dim in shape.dim)
    return TensorSpec(DataType(info.dtype), sizes, required)
