"""What Classify, Regress and MultiInference share: `tf.Example`s as the only input, a signature to feed them to."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow_serving.apis import input_pb2

from serving.errors import invalid_argument
from serving.models.servable import DEFAULT_SIGNATURE, Runnable, Signature

INPUTS = "inputs"
"""The alias of the one input, fixed by the protocol."""

TensorValues = dict[str, NDArray[Any]]
"""Tensor name to value."""


@dataclass(frozen=True)
class ExampleTensors:
    """The tensors of a signature that takes examples."""

    feeds: tuple[str, ...]
    """Tensors that take the serialized examples, each the same ones."""
    fetches: tuple[str, ...]
    """Tensors that the answer is made of."""

    def run(self, servable: Runnable, examples: NDArray[Any], timeout: float | None) -> TensorValues:
        """Runs the graph on examples, `[n] object`.

        Raises:
            ServingError: The run failed.
        """
        values = servable.run(self.feeds, [examples] * len(self.feeds), self.fetches, timeout)
        return dict(zip(self.fetches, values, strict=True))


def find_signature(servable: Runnable, name: str, message: str = "No signature was found with the name: ") -> Signature:
    """The signature of this name, or the default one if the name is empty.

    Raises:
        ServingError: There is none; `message` precedes its name.
    """
    signature = servable.signatures.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        raise invalid_argument(message + (name or DEFAULT_SIGNATURE))
    return signature


def check_inputs(signature: Signature, method: str, kind: str, check_method: bool) -> None:
    """Checks the method of a signature, and that it has one input.

    Args:
        signature: The signature.
        method: The `method_name` that the RPC expects.
        kind: The RPC's noun in error messages, `classification` or `regression`.
        check_method: Whether another `method_name` is an error.

    Raises:
        ServingError: The signature has another method or another number of inputs.
    """
    given = signature.definition.method_name
    if check_method and given != method:
        raise invalid_argument(f"Expected {kind} signature method_name to be {method}. Was: {given}")
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")


def input_tensor(signature: Signature, kind: str) -> str:
    """The tensor to feed with examples; `kind` is the RPC's noun, `classification` or `regression`.

    Raises:
        ServingError: The signature has no input named `inputs`.
    """
    if INPUTS not in signature.inputs:
        raise invalid_argument(f"No {kind} inputs found in SignatureDef: {signature.definition}")
    return signature.inputs[INPUTS]


def num_examples(given: input_pb2.Input) -> int:
    """Number of examples in an Input message."""
    return len(given.example_list.examples or given.example_list_with_context.examples)


def serialized_examples(given: input_pb2.Input) -> NDArray[Any]:
    """The examples of an Input message, serialized, `[n] object`.

    The context is merged into every example by concatenation, which is how protobuf merges messages.

    Raises:
        ServingError: There is no example.
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
