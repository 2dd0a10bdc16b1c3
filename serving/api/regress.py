"""Regress: `tf.Example`s in, one value for each out."""

import numpy as np
from tensorflow_serving.apis import regression_pb2

from serving.api.examples import (
    ExampleTensors,
    TensorValues,
    check_inputs,
    find_signature,
    input_tensor,
    serialized_examples,
)
from serving.api.predict import REGRESS_METHOD, InferenceOptions, fill_model_spec
from serving.errors import invalid_argument
from serving.models.servable import Runnable, Signature

OUTPUTS = "outputs"


def regress(
    servable: Runnable, request: regression_pb2.RegressionRequest, options: InferenceOptions
) -> regression_pb2.RegressionResponse:
    """Answers a RegressionRequest.

    Raises:
        ServingError: The request or the signature does not fit, or the run failed.
    """
    signature = find_signature(servable, request.model_spec.signature_name)
    tensors = regression_tensors(signature, options.check_method)
    examples = serialized_examples(request.input)
    values = tensors.run(servable, examples, options.timeout)
    response = regression_pb2.RegressionResponse()
    fill_model_spec(response.model_spec, servable, request.model_spec.name, request.model_spec.signature_name)
    fill_regressions(response.result, signature, values, len(examples))
    return response


def regression_tensors(signature: Signature, check_method: bool) -> ExampleTensors:
    """The tensors of a signature that Regress can use.

    Raises:
        ServingError: Its inputs or outputs do not fit.
    """
    check_inputs(signature, REGRESS_METHOD, "regression", check_method)
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    feed = input_tensor(signature, "regression")
    if OUTPUTS not in signature.outputs:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {signature.definition}")
    return ExampleTensors((feed,), signature.fetches)


def fill_regressions(
    result: regression_pb2.RegressionResult, signature: Signature, values: TensorValues, num_examples: int
) -> None:
    """Adds one value for each example.

    Raises:
        ServingError: The output has another type or shape than the protocol wants.
    """
    value = values[signature.outputs[OUTPUTS]]
    if not (value.ndim == 1 or (value.ndim == 2 and value.shape[1] == 1)):
        raise invalid_argument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {list(value.shape)}"
        )
    if len(value) != num_examples:
        raise invalid_argument(f"Input batch size did not match output batch size: {num_examples} vs. {len(value)}")
    if value.dtype != np.float32:
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {value.dtype}")
    for each in value.ravel().tolist():
        result.regressions.add(value=each)
