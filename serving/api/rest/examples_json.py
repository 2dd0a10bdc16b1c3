"""Bodies of `:classify` and `:regress` calls: `tf.Example`s as JSON objects."""

from typing import Any

import numpy as np
import tensorflow as tf

from serving.api.rest.json_tensors import (
    Json,
    decode_base64,
    is_base64,
    json_type,
    parse_object,
    shown,
    signature_name,
    to_json,
    write_body,
)
from serving.errors import invalid_argument


def fill_examples_request(request: Any, content: bytes) -> None:
    """Fills a ClassificationRequest or RegressionRequest from a body with `examples` and an optional `context`.

    Raises:
        ServingError: The body is malformed.
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
    """The response body of a `:classify` call: labels and scores of each example."""
    return write_body(
        {
            "results": [
                [[each.label, _decimal(each.score)] for each in row.classes] for row in response.result.classifications
            ]
        }
    )


def regress_body(response: Any) -> bytes:
    """The response body of a `:regress` call: one value per example."""
    return write_body({"results": [_decimal(each.value) for each in response.result.regressions]})
