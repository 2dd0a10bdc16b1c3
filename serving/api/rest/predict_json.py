"""Bodies of `:predict` calls, in row format (`instances`) and in column format (`inputs`)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.protocol.tensor_proto import decode, encode
from serving.api.rest.json_tensors import Json, is_base64, shown, to_array, to_json, write_body
from serving.errors import ServingError, invalid_argument

InputTypes = Mapping[str, int]
"""Input alias to `DataType`."""


def fill_predict_request(request: Any, document: Mapping[str, Json], inputs: InputTypes) -> bool:
    """Fills the inputs of a PredictRequest from `instances` (row format) or `inputs` (column format).

    Args:
        request: The PredictRequest.
        document: The parsed body.
        inputs: The signature's inputs.

    Returns:
        Whether the body is in row format.

    Raises:
        ServingError: The body is in neither format, or does not fit the signature.
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
        # Row by row is slow: only to name the row that is wrong.
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
    """The response body of a `:predict` call.

    Args:
        response: The PredictResponse.
        rows: Whether the request was in row format.

    Raises:
        ServingError: The outputs have no common batch dimension, or a type that JSON cannot hold.
    """
    arrays = {alias: decode(proto) for alias, proto in sorted(response.outputs.items())}
    if not arrays:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    if not rows:
        columns = {alias: to_json(array, alias) for alias, array in arrays.items()}
        return write_body({"outputs": columns if len(columns) > 1 else next(iter(columns.values()))})
    _check_batch(arrays)
    listed = {alias: to_json(array, alias) for alias, array in arrays.items()}
    if len(listed) == 1:
        return write_body({"predictions": next(iter(listed.values()))})
    return write_body(
        {"predictions": [dict(zip(listed, row, strict=True)) for row in zip(*listed.values(), strict=True)]}
    )


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
