"""Builds requests and reads responses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import InputError
from features.protocol.tensor_proto import decode, dtype_number, encode
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
from serving.client.arrays import check_batch, for_a_batch, input_array
from serving.client.signatures import SignatureSpec, TensorSpec

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RESPONSES = {PREDICT: PredictResponse, METADATA: GetModelMetadataResponse, STATUS: GetModelStatusResponse}
"""Response message by method."""

DEFAULT_SIGNATURE = "serving_default"
RETRIEVE_SIGNATURE = "retrieve"
EXPLAIN_SIGNATURE = "explain"
COUNT_INPUTS = {"k", "limit"}
EXCLUDE_INPUT = "exclude_item_ids"
STATES = {10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}


@dataclass(frozen=True)
class Recommendation:
    """A recommended item; higher scores are better, and only scores of the same response are comparable."""

    item_id: str
    score: float
    is_explored: bool = False
    """Whether the item has its place for being new alone, as `new_item_share` of `recommender` keeps them."""


@dataclass(frozen=True)
class VersionState:
    """State of a model version, as reported by the server."""

    version: int
    state: str
    """START, LOADING, AVAILABLE, UNLOADING or END."""
    error_code: int
    """Canonical status code; 0 if nothing failed."""
    error_message: str


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
        array = input_array(alias, values, None if specs is None else specs.get(alias))
        encode(array, request.inputs[alias], as_content=dtype_number(array) != DataType.STRING)
    return request


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
    *,
    signature: str | None = None,
) -> Any:
    """Builds the PredictRequest behind `recommend` and `explain`.

    Args:
        model: The model's name.
        signatures: The model's signatures.
        query: Raw values by feature name.
        k: Number of items per query.
        restricting: Inputs made by `restrictions`.
        signature: Signature to call; None chooses the one that recommends.

    Raises:
        InputError: `k` is below 0, the model has no such signature or input, or a value does not fit the type of its
            input.
    """
    if k < 0:
        raise InputError(f"k: expected 0 or more items per query, got {k}")
    name = signature or (RETRIEVE_SIGNATURE if RETRIEVE_SIGNATURE in signatures else DEFAULT_SIGNATURE)
    if name not in signatures:
        raise InputError(
            f"model {model!r} has no signature {name!r}; its signatures are {', '.join(sorted(signatures))}"
        )
    inputs = signatures[name].inputs
    unknown = sorted((query.keys() | restricting.keys()) - inputs.keys())
    if unknown:
        raise InputError(
            f"model {model!r}: signature {name!r} has no input {', '.join(unknown)}; its inputs are "
            f"{', '.join(sorted(inputs))}"
        )
    sent: dict[str, Any] = dict(query)
    sent.update({alias: for_a_batch(values, inputs[alias]) for alias, values in restricting.items()})
    sent.update(dict.fromkeys(COUNT_INPUTS & inputs.keys(), k))
    check_batch(sent, inputs)
    return predict_request(model, name, sent, inputs)


def read_outputs(response: Any) -> dict[str, NDArray[Any]]:
    """Arrays by output alias; strings are object arrays of bytes."""
    return {alias: decode(proto) for alias, proto in response.outputs.items()}


def read_recommendations(response: Any, k: int) -> list[list[Recommendation]]:
    """One list per query, best item first, of at most `k` items; padding is removed."""
    outputs = read_outputs(response)
    ids, scores = outputs["item_ids"], outputs["scores"]
    explored = outputs.get("is_explored", np.zeros(ids.shape, bool))
    return [
        [
            Recommendation(item.decode(), float(score), bool(is_explored))
            for item, score, is_explored in zip(*of_query, strict=True)
            if item and score > -np.inf
        ][:k]
        for of_query in zip(ids, scores, explored, strict=True)
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
