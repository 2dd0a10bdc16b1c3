"""Classify: `tf.Example`s in, class labels and scores out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow_serving.apis import classification_pb2

from serving.api.examples import (
    ExampleTensors,
    TensorValues,
    check_inputs,
    find_signature,
    input_tensor,
    serialized_examples,
)
from serving.api.predict import CLASSIFY_METHOD, InferenceOptions, fill_model_spec
from serving.errors import invalid_argument
from serving.models.servable import Runnable, Signature

CLASSES, SCORES = "classes", "scores"


def classify(
    servable: Runnable, request: classification_pb2.ClassificationRequest, options: InferenceOptions
) -> classification_pb2.ClassificationResponse:
    """Answers a ClassificationRequest.

    Raises:
        ServingError: The request or the signature does not fit, or the run failed.
    """
    signature = find_signature(servable, request.model_spec.signature_name)
    tensors = classification_tensors(signature, options.check_method)
    examples = serialized_examples(request.input)
    values = tensors.run(servable, examples, options.timeout)
    response = classification_pb2.ClassificationResponse()
    fill_model_spec(response.model_spec, servable, request.model_spec.name, request.model_spec.signature_name)
    fill_classifications(response.result, signature, values, len(examples))
    return response


def classification_tensors(signature: Signature, check_method: bool) -> ExampleTensors:
    """The tensors of a signature that Classify can use.

    Raises:
        ServingError: Its inputs or outputs do not fit.
    """
    check_inputs(signature, CLASSIFY_METHOD, "classification", check_method)
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    feed = input_tensor(signature, "classification")
    fetches = tuple(signature.outputs[alias] for alias in (CLASSES, SCORES) if alias in signature.outputs)
    if not fetches:
        raise invalid_argument(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature '
            f"was: {signature.definition}"
        )
    return ExampleTensors((feed,), fetches)


def fill_classifications(
    result: classification_pb2.ClassificationResult, signature: Signature, values: TensorValues, num_examples: int
) -> None:
    """Adds one list of classes for each example.

    Raises:
        ServingError: An output has another type or shape than the protocol wants.
    """
    classes = _matrix(signature, values, CLASSES, "DT_STRING", num_examples)
    scores = _matrix(signature, values, SCORES, "DT_FLOAT", num_examples)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    for row in range(num_examples):
        _fill_row(
            result.classifications.add(),
            [] if classes is None else classes[row].tolist(),
            [] if scores is None else scores[row].tolist(),
        )


def _fill_row(classifications: Any, labels: list[bytes], scores: list[float]) -> None:
    for column in range(max(len(labels), len(scores))):
        added = classifications.classes.add()
        if labels:
            added.label = labels[column].decode("utf-8", "replace")
        if scores:
            added.score = scores[column]


def _matrix(
    signature: Signature, values: TensorValues, alias: str, dtype: str, num_examples: int
) -> NDArray[Any] | None:
    if alias not in signature.outputs:
        return None
    value = values[signature.outputs[alias]]
    if value.ndim != 2:
        raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {list(value.shape)}")
    if value.dtype != (object if dtype == "DT_STRING" else np.float32):
        raise invalid_argument(f"Expected {alias} Tensor of {dtype}. Got: {value.dtype}")
    if len(value) != num_examples:
        raise invalid_argument(f"Expected {alias} output batch size of {num_examples}. Got: {len(value)}")
    return value
