"""Classify, Regress and MultiInference: `tf.Example`s in, labels and scores or values out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow_serving.apis import classification_pb2, inference_pb2, input_pb2, regression_pb2

from serving.api.predict import CLASSIFY_METHOD, REGRESS_METHOD, fill_model_spec
from serving.errors import Code, ServingError, invalid_argument
from serving.models.servable import DEFAULT_SIGNATURE, Runnable, Signature

INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"

Outputs = dict[str, NDArray[Any]]
"""Tensor name to value."""


def run_classify(
    servable: Runnable,
    request: classification_pb2.ClassificationRequest,
    timeout: float | None,
    *,
    check_method: bool = False,
) -> classification_pb2.ClassificationResponse:
    """Answers a ClassificationRequest by one version.

    Raises:
        ServingError: the request, or the signature, is not fit for it, or the run failed.
    """
    signature = _signature(servable, request.model_spec.signature_name, "No signature was found with the name: ")
    feed, fetches = classification_tensors(signature, check_method)
    examples = serialized_examples(request.input)
    outputs = _run(servable, feed, examples, fetches, timeout)
    response = classification_pb2.ClassificationResponse()
    fill_model_spec(response.model_spec, servable, request.model_spec.name, request.model_spec.signature_name)
    _fill_classifications(response.result, signature, outputs, len(examples))
    return response


def run_regress(
    servable: Runnable, request: regression_pb2.RegressionRequest, timeout: float | None, *, check_method: bool = False
) -> regression_pb2.RegressionResponse:
    """Answers a RegressionRequest by one version.

    Raises:
        ServingError: the request, or the signature, is not fit for it, or the run failed.
    """
    signature = _signature(servable, request.model_spec.signature_name, "No signature was found with the name: ")
    feed, fetches = regression_tensors(signature, check_method)
    examples = serialized_examples(request.input)
    outputs = _run(servable, feed, examples, fetches, timeout)
    response = regression_pb2.RegressionResponse()
    fill_model_spec(response.model_spec, servable, request.model_spec.name, request.model_spec.signature_name)
    _fill_regressions(response.result, outputs[signature.outputs[OUTPUTS]], len(examples))
    return response


def run_multi_inference(
    servable: Runnable,
    request: inference_pb2.MultiInferenceRequest,
    timeout: float | None,
    *,
    check_method: bool = False,
) -> inference_pb2.MultiInferenceResponse:
    """Answers several classify and regress tasks on the same examples by one run of the graph.

    Raises:
        ServingError: the tasks do not go together, a signature is not fit for its task, or the run failed.
    """
    signatures = _task_signatures(servable, request)
    feeds: set[str] = set()
    fetches: set[str] = set()
    for task, signature in zip(request.tasks, signatures, strict=True):
        tensors = classification_tensors if task.method_name == CLASSIFY_METHOD else regression_tensors
        feed, names = tensors(signature, check_method)
        feeds.add(feed)
        fetches.update(names)
    if len(feeds) > 1:
        raise invalid_argument("Input tensor must be the same for all Signatures.")
    examples = serialized_examples(request.input)
    outputs = _run(servable, feeds.pop(), examples, tuple(sorted(fetches)), timeout)
    response = inference_pb2.MultiInferenceResponse()
    for task, signature in zip(request.tasks, signatures, strict=True):
        result = response.results.add()
        fill_model_spec(result.model_spec, servable, task.model_spec.name, task.model_spec.signature_name)
        if task.method_name == CLASSIFY_METHOD:
            _fill_classifications(result.classification_result, signature, outputs, len(examples))
        else:
            _fill_regressions(result.regression_result, outputs[signature.outputs[OUTPUTS]], len(examples))
    return response


def _signature(servable: Runnable, name: str, complaint: str) -> Signature:
    signature = servable.signatures.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        raise invalid_argument(complaint + (name or DEFAULT_SIGNATURE))
    return signature


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
        signatures[name] = _signature(servable, name, "Requested signature not found in model graph: ")
        if task.method_name not in (CLASSIFY_METHOD, REGRESS_METHOD):
            raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
    return list(signatures.values())


def serialized_examples(given: input_pb2.Input) -> NDArray[Any]:
    """`[examples] object`: each example as bytes, the context merged in by concatenation, as protobuf merges.

    Raises:
        ServingError: there is no example.
    """
    if given.WhichOneof("kind") == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
        records = [context + each.SerializeToString() for each in given.example_list_with_context.examples]
    else:
        records = [each.SerializeToString() for each in given.example_list.examples]
    if not records:
        raise invalid_argument("Input is empty.")
    examples = np.empty(len(records), object)
    examples[:] = records
    return examples


def classification_tensors(signature: Signature, check_method: bool) -> tuple[str, tuple[str, ...]]:
    """The tensor to feed and the tensors to fetch of a signature fit for Classify.

    Raises:
        ServingError: it is not fit.
    """
    feed = _only_input(signature, CLASSIFY_METHOD, "classification", check_method)
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    fetches = tuple(signature.outputs[alias] for alias in (CLASSES, SCORES) if alias in signature.outputs)
    if not fetches:
        raise invalid_argument(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature '
            f"was: {signature.definition}"
        )
    return feed, fetches


def regression_tensors(signature: Signature, check_method: bool) -> tuple[str, tuple[str, ...]]:
    """The tensor to feed and the tensor to fetch of a signature fit for Regress.

    Raises:
        ServingError: it is not fit.
    """
    feed = _only_input(signature, REGRESS_METHOD, "regression", check_method)
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    if OUTPUTS not in signature.outputs:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {signature.definition}")
    return feed, signature.fetches


def _only_input(signature: Signature, method: str, kind: str, check_method: bool) -> str:
    given = signature.definition.method_name
    if check_method and given != method:
        raise invalid_argument(f"Expected {kind} signature method_name to be {method}. Was: {given}")
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if INPUTS not in signature.inputs:
        raise invalid_argument(f"No {kind} inputs found in SignatureDef: {signature.definition}")
    return signature.inputs[INPUTS]


def _run(
    servable: Runnable, feed: str, examples: NDArray[Any], fetches: tuple[str, ...], timeout: float | None
) -> Outputs:
    return dict(zip(fetches, servable.run((feed,), [examples], fetches, timeout), strict=True))


def _fill_classifications(
    result: classification_pb2.ClassificationResult, signature: Signature, outputs: Outputs, examples: int
) -> None:
    classes = _matrix(signature, outputs, CLASSES, "DT_STRING", examples)
    scores = _matrix(signature, outputs, SCORES, "DT_FLOAT", examples)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    for row in range(examples):
        added = result.classifications.add()
        labels = [] if classes is None else classes[row].tolist()
        values = [] if scores is None else scores[row].tolist()
        for column in range(max(len(labels), len(values))):
            each = added.classes.add()
            if labels:
                each.label = labels[column].decode("utf-8", "replace")
            if values:
                each.score = values[column]


def _matrix(signature: Signature, outputs: Outputs, alias: str, dtype: str, examples: int) -> NDArray[Any] | None:
    if alias not in signature.outputs:
        return None
    value = outputs[signature.outputs[alias]]
    if value.ndim != 2:
        raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {list(value.shape)}")
    if value.dtype != (object if dtype == "DT_STRING" else np.float32):
        raise invalid_argument(f"Expected {alias} Tensor of {dtype}. Got: {value.dtype}")
    if len(value) != examples:
        raise invalid_argument(f"Expected {alias} output batch size of {examples}. Got: {len(value)}")
    return value


def _fill_regressions(result: regression_pb2.RegressionResult, value: NDArray[Any], examples: int) -> None:
    if not (value.ndim == 1 or (value.ndim == 2 and value.shape[1] == 1)):
        raise invalid_argument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {list(value.shape)}"
        )
    if len(value) != examples:
        raise invalid_argument(f"Input batch size did not match output batch size: {examples} vs. {len(value)}")
    if value.dtype != np.float32:
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {value.dtype}")
    for each in value.ravel().tolist():
        result.regressions.add(value=each)
