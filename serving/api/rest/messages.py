"""REST bodies to requests and replies to bodies."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from numpy.typing import NDArray
from tensorflow_serving.apis import get_model_metadata_pb2

from features.protocol.tensor_proto import decode, encode
from serving.api.rest.json_tensors import (
    Json,
    decode_base64,
    is_base64,
    json_type,
    parse_object,
    shown,
    signature_name,
    to_array,
    to_json,
)
from serving.errors import ServingError, invalid_argument

InputTypes = Mapping[str, int]
"""Input alias to `DataType`."""


def fill_predict_request(request: Any, document: Mapping[str, Json], inputs: InputTypes) -> bool:
    """Fills a PredictRequest's inputs from `instances` (row format) or `inputs` (columnar).

    Args:
        request: the PredictRequest.
        document: the body.
        inputs: what the signature takes.

    Returns:
        Whether the format is the row one.

    Raises:
        ServingError: the body fits neither format, or not the signature.
    """
    if "instances" in document and "inputs" in document:
        raise invalid_argument(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' keys "
            "to exist "
        )
    if "instances" in document:
        arrays = _rows(document, inputs)
    elif "inputs" in document:
        arrays = _columns(document["inputs"], inputs)
    else:
        raise invalid_argument("Missing 'inputs' or 'instances' key")
    for alias, array in arrays.items():
        encode(array, request.inputs[alias], as_content=array.dtype != object)
    return "instances" in document


def _rows(document: Mapping[str, Json], inputs: InputTypes) -> dict[str, NDArray[Any]]:
    rows = document["instances"]
    if not isinstance(rows, list):
        raise invalid_argument(f"JSON Value: {shown(document)} Excepting 'instances' to be an list/array")
    if not rows:
        raise invalid_argument(f"JSON Value: {shown(document)} No values in 'instances' array")
    named = isinstance(rows[0], dict) and not is_base64(rows[0])
    if not named and len(inputs) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    columns: dict[str, list[Json]] = {alias: [] for alias in inputs}
    for index, row in enumerate(rows):
        for alias, value in _row_values(row, named, index, inputs).items():
            columns[alias].append(value)
    try:
        return {alias: to_array(column, inputs[alias]) for alias, column in columns.items()}
    except ServingError:
        # Which row is at fault is worth finding only now.
        return {alias: _row_by_row(column, inputs[alias], alias if named else "") for alias, column in columns.items()}


def _row_values(row: Json, named: bool, index: int, inputs: InputTypes) -> Mapping[str, Json]:
    is_object = isinstance(row, dict) and not is_base64(row)
    if not named:
        if is_object:
            raise invalid_argument(f"Expecting value/list but got object at item {index} of input list")
        return {next(iter(inputs)): row}
    if not is_object:
        raise invalid_argument(f"Expecting object but got list at item {index} of input list")
    where = f"Failed to process element: {index}"
    if unknown := next((name for name in row if name not in inputs), None):
        raise invalid_argument(
            f"{where} key: {unknown} of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named "
            f"input: {unknown}"
        )
    if row.keys() != inputs.keys():
        raise invalid_argument(
            f"{where} of 'instances' list. JSON object: {shown(row)} keys must be equal to: {','.join(sorted(inputs))}"
        )
    values: Mapping[str, Json] = row
    return values


def _row_by_row(column: list[Json], dtype: int, key: str) -> NDArray[Any]:
    arrays: list[NDArray[Any]] = []
    for index, value in enumerate(column):
        where = (
            f"Failed to process element: {index}" + (f" key: {key}" if key else "") + " of 'instances' list. Error: "
        )
        try:
            array = to_array(value, dtype)
        except ServingError as error:
            raise ServingError(error.code, f"{where}{error.code.name}: {error.message}") from None
        first = arrays[0] if arrays else array
        if first.size != array.size:
            raise invalid_argument(
                f"{where}INVALID_ARGUMENT: Expecting tensor size: {first.size} but got: {array.size}"
            )
        if first.shape != array.shape:
            raise invalid_argument(
                f"{where}INVALID_ARGUMENT: Expecting shape {list(first.shape)} but got: {list(array.shape)}"
            )
        arrays.append(array)
    return np.stack(arrays)


def _columns(values: Json, inputs: InputTypes) -> dict[str, NDArray[Any]]:
    if not isinstance(values, dict) or is_base64(values):
        if len(inputs) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        values = {next(iter(inputs)): values}
    for alias in inputs:
        if alias not in values:
            raise invalid_argument(f"Missing named input: {alias} in 'inputs' object.")
    return {alias: to_array(values[alias], dtype) for alias, dtype in inputs.items()}


def predict_body(response: Any, rows: bool) -> bytes:
    """The reply to a predict call.

    Raises:
        ServingError: the outputs do not go by rows, or JSON has nothing for a type.
    """
    arrays = {alias: decode(proto) for alias, proto in sorted(response.outputs.items())}
    if not arrays:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    if not rows:
        columns = {alias: to_json(array, alias) for alias, array in arrays.items()}
        return body({"outputs": columns if len(columns) > 1 else next(iter(columns.values()))})
    _check_batch(arrays)
    listed = {alias: to_json(array, alias) for alias, array in arrays.items()}
    if len(listed) == 1:
        return body({"predictions": next(iter(listed.values()))})
    return body({"predictions": [dict(zip(listed, row, strict=True)) for row in zip(*listed.values(), strict=True)]})


def _check_batch(arrays: Mapping[str, NDArray[Any]]) -> None:
    expected = None
    for alias, array in arrays.items():
        if not array.ndim:
            raise invalid_argument(f"Tensor name: {alias} has no shape information ")
        if expected is not None and len(array) != expected:
            raise invalid_argument(
                f"Tensor name: {alias} has inconsistent batch size: {len(array)} expecting: {expected}"
            )
        expected = len(array)


def body(document: Json) -> bytes:
    """A document as the server writes it."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode("utf-8", "replace")


def fill_examples_request(request: Any, content: bytes) -> None:
    """Fills a ClassificationRequest or RegressionRequest from a body with `examples` and, perhaps, a `context`.

    Raises:
        ServingError: the body does not fit.
    """
    document = parse_object(content)
    request.model_spec.signature_name = signature_name(document)
    if "examples" not in document:
        raise invalid_argument(
            f"JSON Value: {shown(document)} When method is classify, key 'examples' is expected and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise invalid_argument(f"JSON Value: {shown(document)} Expecting 'examples' value to be an list/array")
    if not examples:
        raise invalid_argument(f"JSON Value: {shown(document)} 'examples' value is an empty array")
    target = request.input.example_list
    if "context" in document:
        target = request.input.example_list_with_context
        target.context.CopyFrom(_example(document["context"]))
    target.examples.extend(_example(each) for each in examples)


def _example(value: Json) -> tf.train.Example:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {json_type(value)}")
    example = tf.train.Example()
    for name, content in value.items():
        _fill_feature(example.features.feature[name], name, content if isinstance(content, list) else [content])
    return example


def _fill_feature(feature: Any, name: str, values: list[Json]) -> None:
    for value in values:
        kind, converted = _feature_value(name, value)
        if feature.WhichOneof("kind") not in (None, kind):
            expected = feature.WhichOneof("kind").removesuffix("_list")
            raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {expected}")
        getattr(feature, kind).value.append(converted)


def _feature_value(name: str, value: Json) -> tuple[str, Any]:
    if isinstance(value, bool):
        return "int64_list", int(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise invalid_argument(f"Feature: {name} has uint64 element. Only int64 is supported.")
        return "int64_list", value
    if isinstance(value, float):
        if np.isfinite(value) and abs(value) > float(np.finfo(np.float32).max):
            raise invalid_argument(f"Cannot convert JSON value: {value} to float without loss of precision.")
        return "float_list", value
    if isinstance(value, str):
        return "bytes_list", value.encode("utf-8", "surrogatepass")
    if is_base64(value):
        return "bytes_list", decode_base64(value)
    raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {json_type(value)}")


def _decimal(value: float) -> Json:
    return to_json(np.array(value, np.float32), "")


def classify_body(response: Any) -> bytes:
    """The reply to a classify call: for each example its labels and scores."""
    return body(
        {
            "results": [
                [[each.label, _decimal(each.score)] for each in row.classes] for row in response.result.classifications
            ]
        }
    )


def regress_body(response: Any) -> bytes:
    """The reply to a regress call: one value an example."""
    return body({"results": [_decimal(each.value) for each in response.result.regressions]})


def status_body(response: Any) -> bytes:
    """The reply to a status call."""
    return body(_as_dict(response))


def metadata_body(response: Any) -> bytes:
    """The reply to a metadata call: `metadata.signature_def.signature_def` holds the signatures."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return body({"model_spec": _as_dict(response.model_spec), "metadata": {"signature_def": _as_dict(signatures)}})


def _as_dict(message: Any) -> Json:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
