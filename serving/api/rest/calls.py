"""REST calls to RPCs: parses the body, calls the RPC of the same name, writes its response as JSON."""

from collections.abc import Callable, Mapping
from typing import Any

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

from features.protocol.ranks import describe_rank
from serving.api.call import Call
from serving.api.dispatch import Dispatcher
from serving.api.metadata import SIGNATURE_DEF
from serving.api.rest.examples_json import classify_body, fill_examples_request, regress_body
from serving.api.rest.json_tensors import parse_object, signature_name
from serving.api.rest.model_json import metadata_body, status_body
from serving.api.rest.paths import Target
from serving.api.rest.predict_json import fill_predict_request, predict_body
from serving.errors import Code, ServingError, invalid_argument
from serving.models.servable import DEFAULT_SIGNATURE


class RestCalls:
    """The calls of the REST API."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._rpcs = dispatcher.rpcs()
        self._verbs: Mapping[str, Callable[[Target, bytes, Call], bytes]] = {
            "predict": self._predict,
            "classify": self._classify,
            "regress": self._regress,
            "metadata": self._metadata,
            "status": self._status,
        }

    def answer(self, target: Target, content: bytes, call: Call) -> bytes:
        """The response body for a request.

        Raises:
            ServingError: The request fails.
        """
        if not target.name:
            raise invalid_argument("Missing model name in request.")
        return self._verbs[target.verb](target, content, call)

    def _predict(self, target: Target, content: bytes, call: Call) -> bytes:
        document = parse_object(content)
        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = signature_name(document)
        target.fill_spec(request.model_spec)
        with self._dispatcher.counting_refusals(request.model_spec):
            inputs = self._inputs(request.model_spec)
            rows = fill_predict_request(request, document, {alias: info.dtype for alias, info in inputs.items()})
        try:
            response = self._rpcs["Predict"](request, call)
        except ServingError as error:
            raise _with_wrong_inputs(error, request, inputs) from None
        return predict_body(response, rows)

    def _inputs(self, spec: Any) -> dict[str, Any]:
        name = spec.signature_name or DEFAULT_SIGNATURE
        with self._dispatcher.lease(spec) as servable:
            signature = servable.signatures.get(name)
            if signature is None:
                raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
            inputs = {alias: signature.definition.inputs[alias] for alias in signature.inputs}
        if not inputs:
            raise invalid_argument(f"Failed to get input map for signature: {spec.signature_name or 'DEFAULT'}")
        return inputs

    def _classify(self, target: Target, content: bytes, call: Call) -> bytes:
        request = classification_pb2.ClassificationRequest()
        fill_examples_request(request, content)
        target.fill_spec(request.model_spec)
        return classify_body(self._rpcs["Classify"](request, call))

    def _regress(self, target: Target, content: bytes, call: Call) -> bytes:
        request = regression_pb2.RegressionRequest()
        fill_examples_request(request, content)
        target.fill_spec(request.model_spec)
        return regress_body(self._rpcs["Regress"](request, call))

    def _metadata(self, target: Target, content: bytes, call: Call) -> bytes:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=[SIGNATURE_DEF])
        target.fill_spec(request.model_spec)
        return metadata_body(self._rpcs["GetModelMetadata"](request, call))

    def _status(self, target: Target, content: bytes, call: Call) -> bytes:
        request = get_model_status_pb2.GetModelStatusRequest()
        target.fill_spec(request.model_spec)
        return status_body(self._rpcs["GetModelStatus"](request, call))


def _with_wrong_inputs(error: ServingError, request: Any, inputs: Mapping[str, Any]) -> ServingError:
    """Names the inputs whose rank is not the signature's in front of an error of the kernels, which do not name them.

    Shapes are not checked before the run, because the real server answers whatever the kernels take.
    """
    if error.code is not Code.INVALID_ARGUMENT:
        return error
    hints = [
        f"{alias}: expected {describe_rank(len(info.tensor_shape.dim))}"
        for alias, info in inputs.items()
        if not info.tensor_shape.unknown_rank
        and len(request.inputs[alias].tensor_shape.dim) != len(info.tensor_shape.dim)
    ]
    return ServingError(error.code, "; ".join([*hints, error.message]))
