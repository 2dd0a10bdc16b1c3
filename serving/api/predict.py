"""Predict: tensors in and out, by alias."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from tensorflow_serving.apis import model_pb2, predict_pb2

from features.protocol.tensor_proto import ParseError, decode, encode
from serving.errors import Code, ServingError, invalid_argument
from serving.models.servable import DEFAULT_SIGNATURE, PREDICT_METHOD, Runnable, Signature
from serving.models.session import Arrays

CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceOptions:
    """How a request is answered."""

    timeout: float | None = None
    """Seconds that the run may take; None for no limit."""
    as_content: bool = False
    """Whether Predict writes outputs as `tensor_content`."""
    check_method: bool = False
    """Whether the signature's `method_name` must fit the RPC."""


def _joined(names: Iterable[str]) -> str:
    # TensorFlow Serving prints sets of names sorted.
    return ",".join(sorted(names))


def fill_model_spec(spec: model_pb2.ModelSpec, servable: Runnable, name: str, signature: str | None) -> None:
    """Writes into a response which version answered, always by its number."""
    spec.name = name
    spec.version.value = servable.version
    if signature is not None:
        spec.signature_name = signature or DEFAULT_SIGNATURE


def predict(
    servable: Runnable, request: predict_pb2.PredictRequest, options: InferenceOptions
) -> predict_pb2.PredictResponse:
    """Answers a PredictRequest; the request's model name is echoed, not checked.

    Raises:
        ServingError: The request does not fit the signature, or the run failed.
    """
    spec = request.model_spec
    signature_name = spec.signature_name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(signature_name)
    if signature is None:
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{signature_name}" not found.')
    if options.check_method:
        _check_method(signature)
    arrays = _decode_inputs(signature, request.inputs)
    aliases, fetches = _select_outputs(signature, request.output_filter)
    results = servable.run(signature.feeds, arrays, fetches, options.timeout)
    response = predict_pb2.PredictResponse()
    fill_model_spec(response.model_spec, servable, spec.name, signature_name)
    outputs = response.outputs
    for alias, result in zip(aliases, results, strict=True):
        encode(result, outputs[alias], as_content=options.as_content)
    return response


def _check_method(signature: Signature) -> None:
    known = (PREDICT_METHOD, CLASSIFY_METHOD, REGRESS_METHOD)
    given = signature.definition.method_name
    if given not in known:
        raise ServingError(
            Code.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{', '.join(known)}}}. Was: {given}",
        )


def _decode_inputs(signature: Signature, inputs: Any) -> Arrays:
    expected = signature.inputs
    if len(inputs) > len(expected) or (len(inputs) < len(expected) and not signature.defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(inputs)}!={len(expected)} "
            f"len({{{_joined(inputs)}}}) != len({{{_joined(expected)}}}). "
            f"Sent extra: {{{_joined(set(inputs) - set(expected))}}}. "
            f"Missing but required: {{{_joined(set(expected) - set(inputs))}}}."
        )
    arrays = []
    num_sent = 0
    for alias, feed in expected.items():
        # Membership first: reading an absent key would insert it into the request's map.
        if alias in inputs:
            arrays.append(_decoded(alias, inputs[alias]))
            num_sent += 1
        elif alias in signature.defaults:
            arrays.append(signature.defaults[alias])
        else:
            raise invalid_argument(
                f"Signature input alias: {alias}(feed name: {feed}) not found in request and no default value "
                f"provided. Inputs expected to be in the request {{{_joined(inputs)}}}, or default input alias set: "
                f"{_joined(signature.defaults)}"
            )
    if num_sent < len(inputs):
        unused = set(inputs) - set(expected)
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {_joined(set(inputs) - unused)}, "
            f"request input: {_joined(inputs)}"
        )
    return arrays


def _decoded(alias: str, proto: Any) -> NDArray[Any]:
    try:
        return decode(proto)
    except ParseError:
        raise invalid_argument(f"tensor parsing error: {alias}") from None


def _select_outputs(signature: Signature, wanted: Any) -> tuple[Iterable[str], tuple[str, ...]]:
    if not wanted:
        return signature.outputs, signature.fetches
    seen: set[str] = set()
    for alias in wanted:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{_joined(signature.outputs)}}}."
            )
        if alias in seen:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        seen.add(alias)
    return list(wanted), tuple(signature.outputs[alias] for alias in wanted)
