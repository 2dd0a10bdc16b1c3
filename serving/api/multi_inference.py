"""MultiInference: several classify and regress tasks on the same examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow_serving.apis import inference_pb2

from serving.api.classify import classification_tensors, fill_classifications
from serving.api.examples import ExampleTensors, TensorValues, find_signature, serialized_examples
from serving.api.predict import CLASSIFY_METHOD, REGRESS_METHOD, InferenceOptions, fill_model_spec
from serving.api.regress import fill_regressions, regression_tensors
from serving.errors import Code, ServingError, invalid_argument
from serving.models.servable import DEFAULT_SIGNATURE, Runnable, Signature


@dataclass(frozen=True)
class _Method:
    tensors: Callable[[Signature, bool], ExampleTensors]
    """Finds the signature's tensors and checks that they fit."""
    fill: Callable[[Any, Signature, TensorValues, int], None]
    """Writes the tensors' values into the result."""
    result: str
    """The result's field in InferenceResult."""


_METHODS = {
    CLASSIFY_METHOD: _Method(classification_tensors, fill_classifications, "classification_result"),
    REGRESS_METHOD: _Method(regression_tensors, fill_regressions, "regression_result"),
}


def multi_inference(
    servable: Runnable, request: inference_pb2.MultiInferenceRequest, options: InferenceOptions
) -> inference_pb2.MultiInferenceResponse:
    """Answers a MultiInferenceRequest with one run of the graph.

    TensorFlow 1 exports may share an input tensor among signatures; in TensorFlow 2 exports each signature has its own,
    and all of them are fed with the same examples.

    Raises:
        ServingError: The tasks do not go together, a signature does not fit its task, or the run failed.
    """
    signatures = _task_signatures(servable, request)
    tensors = [
        _METHODS[task.method_name].tensors(signature, options.check_method)
        for task, signature in zip(request.tasks, signatures, strict=True)
    ]
    examples = serialized_examples(request.input)
    values = _union(tensors).run(servable, examples, options.timeout)
    response = inference_pb2.MultiInferenceResponse()
    for task, signature in zip(request.tasks, signatures, strict=True):
        result, method = response.results.add(), _METHODS[task.method_name]
        fill_model_spec(result.model_spec, servable, task.model_spec.name, task.model_spec.signature_name)
        method.fill(getattr(result, method.result), signature, values, len(examples))
    return response


def _union(tensors: Sequence[ExampleTensors]) -> ExampleTensors:
    feeds = {feed for each in tensors for feed in each.feeds}
    fetches = {fetch for each in tensors for fetch in each.fetches}
    return ExampleTensors(tuple(sorted(feeds)), tuple(sorted(fetches)))


def _task_signatures(servable: Runnable, request: inference_pb2.MultiInferenceRequest) -> list[Signature]:
    signatures: dict[str, Signature] = {}
    model = request.tasks[0].model_spec.name
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if task.model_spec.name != model:
            raise invalid_argument(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name. Expected model name is: "
                f"{model}, but was: {task.model_spec.name}"
            )
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in signatures:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        signatures[name] = find_signature(servable, name, "Requested signature not found in model graph: ")
        if task.method_name not in _METHODS:
            raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
    return list(signatures.values())
