"""Signatures with optional inputs, by means of `SignatureDef.defaults`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import tensorflow as tf

Outputs: TypeAlias = Mapping[str, tf.Tensor]


@dataclass(frozen=True, kw_only=True)
class Input:
    """An input of a signature."""

    spec: tf.TensorSpec
    """Shape, type and name."""
    default: tf.Tensor | None = None
    """Value of the input in requests that omit it; None makes the input required."""


def make_signature(function: Callable[[dict[str, tf.Tensor]], Outputs], inputs: Mapping[str, Input]) -> Any:
    """Makes a `tf.function` that can be saved as a signature with optional inputs.

    Saving writes the defaults into the SignatureDef, from which TensorFlow Serving 2.12 and later fills them in. A
    Python program that calls a loaded signature must pass every input.

    Args:
        function: Computes the outputs by name from the inputs by name.
        inputs: The inputs by name.
    """
    specs = {name: tf.TensorSpec(entry.spec.shape, entry.spec.dtype, name) for name, entry in inputs.items()}
    # One dictionary argument: `tf.saved_model.save` pairs its sorted entries with those of the default dictionary.
    defaults = {name: entry.default for name, entry in inputs.items()}

    def call(inputs: dict[str, tf.Tensor] = defaults) -> Outputs:
        return function(inputs)

    return tf.function(call, input_signature=[specs], autograph=False)
