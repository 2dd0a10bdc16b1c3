"""What the signatures of a model take and return."""

from dataclasses import dataclass

from features.protocol.wire import DataType


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a signature."""

    dtype: DataType
    shape: tuple[int | None, ...] | None
    """None for a shape, or a dimension of it, that is not fixed."""
    required: bool = True
    """Whether a request must pass it."""


@dataclass(frozen=True)
class SignatureSpec:
    """Inputs and outputs of a signature, by alias."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
