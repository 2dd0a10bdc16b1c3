"""TensorFlow Lite models: `model.tflite` in a version directory, run by LiteRT.

Signatures are those of the model's `signature_defs_metadata` entry, as TensorFlow Serving reads them. A model without
that entry gets one signature, `serving_default`, whose aliases are the names of the model's tensors.
"""

import importlib.util
import logging
import queue
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorflow.core.protobuf import meta_graph_pb2

from features.errors import ConfigError
from features.protocol.tensor_proto import dtype_number
from features.protocol.wire import DataType
from serving.errors import Code, ServingError, invalid_argument
from serving.models.servable import DEFAULT_SIGNATURE, PREDICT_METHOD, Servable
from serving.models.session import Arrays, type_error

MODEL_FILE = "model.tflite"
SIGNATURES_METADATA = b"signature_defs_metadata"
"""Name of the metadata entry with SignatureDefs, a FlexBuffer map from names to serialized messages."""

logger = logging.getLogger(__name__)


def check_installed() -> None:
    """Checks that LiteRT is installed, as `--prefer_tflite_model` needs it.

    Raises:
        ConfigError: It is not.
    """
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise ConfigError("prefer_tflite_model", True, "LiteRT to be installed: pip install 'recstack[tflite]'")


def has_tflite_model(path: str) -> bool:
    """Whether a version directory holds a TensorFlow Lite model."""
    return (Path(path) / MODEL_FILE).is_file()


def load_tflite(name: str, version: int, path: str, num_interpreters: int) -> Servable:
    """Loads the TensorFlow Lite model of a version directory.

    Args:
        name: The model's name.
        version: The version number.
        path: The version directory.
        num_interpreters: Number of interpreters, which is the number of concurrent runs.

    Raises:
        ServingError: The file is not a model that can be run.
    """
    content = (Path(path) / MODEL_FILE).read_bytes()
    if content[4:8] != b"TFL3":
        raise invalid_argument("Cannot build FlatBufferModel from buffer.")
    session = TfLiteSession(content, num_interpreters)
    definitions = _read_signatures(content)
    if not definitions:
        logger.warning("%s: No signature def found in TFLite model. Generating one.", path)
        definitions = {DEFAULT_SIGNATURE: session.default_signature()}
    for definition in definitions.values():
        session.resolve_names(definition)
    return Servable(name, version, session, definitions)


class TfLiteSession:
    """A pool of interpreters of one model."""

    may_run_forever = False

    def __init__(self, content: bytes, num_interpreters: int) -> None:
        """Builds the interpreters.

        Raises:
            ServingError: The model uses operations that LiteRT does not have, or a tensor name is not unique.
        """
        from ai_edge_litert.interpreter import Interpreter

        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            interpreters = [Interpreter(model_content=content) for _ in range(num_interpreters)]
        except (ValueError, RuntimeError) as error:
            raise ServingError(Code.INTERNAL, f"Cannot build Interpreter from buffer. {error}") from None
        self.inputs = _by_name("Input", interpreters[0].get_input_details())
        self.outputs = _by_name("Output", interpreters[0].get_output_details())
        for interpreter in interpreters:
            self._idle.put(interpreter)

    def default_signature(self) -> meta_graph_pb2.SignatureDef:
        """A signature of all tensors; its aliases are the tensors' names without the number of the output."""
        definition = meta_graph_pb2.SignatureDef(method_name=PREDICT_METHOD)
        for details, infos in ((self.inputs, definition.inputs), (self.outputs, definition.outputs)):
            for name, tensor in details.items():
                infos[_legacy_name(name)].CopyFrom(_tensor_info(tensor))
        return definition

    def resolve_names(self, definition: meta_graph_pb2.SignatureDef) -> None:
        """Replaces tensor names in a signature by the model's, which older converters stripped of the output's number.

        Raises:
            ServingError: The model has no such tensor.
        """
        for kind, details in (("input", self.inputs), ("output", self.outputs)):
            for alias, info in getattr(definition, f"{kind}s").items():
                found = next((name for name in (info.name, _legacy_name(info.name)) if name in details), None)
                if found is None:
                    raise ServingError(
                        Code.INTERNAL,
                        f"Unknown tensor '{info.name}'.\n\tSignature {kind} {alias} references an unknown tensor",
                    )
                info.name = found

    def prepare(self, feeds: Sequence[str], fetches: Sequence[str]) -> "_TfLiteCall":
        """The call that feeds and fetches these tensors."""
        return _TfLiteCall(self, [self.inputs[name] for name in feeds], [self.outputs[name] for name in fetches])

    def run(self, inputs: Mapping[int, NDArray[Any]], outputs: Sequence[int]) -> Arrays:
        """Runs an idle interpreter, or waits for one.

        Args:
            inputs: Arrays by tensor index.
            outputs: Tensor indices.

        Raises:
            ServingError: The model does not take these shapes, or the run failed.
        """
        interpreter = self._idle.get()
        try:
            return _invoke(interpreter, inputs, outputs)
        except (ValueError, RuntimeError) as error:
            raise ServingError(Code.INTERNAL, f"Failed to invoke TfLite interpreter: {error}") from None
        finally:
            self._idle.put(interpreter)

    def close(self) -> None:
        """Frees the interpreters; no run may be in progress."""
        while not self._idle.empty():
            self._idle.get()


class _TfLiteCall:
    def __init__(self, session: TfLiteSession, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        self._session = session
        self._inputs, self._outputs = inputs, [tensor["index"] for tensor in outputs]
        self._dtypes = [_dtype(tensor) for tensor in inputs]

    def __call__(self, arrays: Arrays, timeout: float | None = None) -> Arrays:
        # An interpreter cannot be cancelled: the deadline is left to the caller.
        self.check_types(arrays)
        inputs = {tensor["index"]: array for tensor, array in zip(self._inputs, arrays, strict=True)}
        return self._session.run(inputs, self._outputs)

    def check_types(self, arrays: Arrays) -> None:
        for index, (array, expected) in enumerate(zip(arrays, self._dtypes, strict=True)):
            if dtype_number(array) != expected:
                raise type_error(index, expected, dtype_number(array))


def _invoke(interpreter: Any, inputs: Mapping[int, NDArray[Any]], outputs: Sequence[int]) -> Arrays:
    shapes = {tensor["index"]: tuple(tensor["shape"]) for tensor in interpreter.get_input_details()}
    for index, array in inputs.items():
        if shapes[index] != array.shape:
            interpreter.resize_tensor_input(index, array.shape)
    interpreter.allocate_tensors()
    for index, array in inputs.items():
        interpreter.set_tensor(index, array)
    interpreter.invoke()
    return [np.array(interpreter.get_tensor(index)) for index in outputs]


def _by_name(kind: str, details: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    tensors: dict[str, dict[str, Any]] = {}
    for tensor in details:
        if tensor["name"] in tensors:
            raise ServingError(Code.ALREADY_EXISTS, f"{kind} tensor name: {tensor['name']} has multiple indices")
        tensors[tensor["name"]] = tensor
    return tensors


def _legacy_name(name: str) -> str:
    return name.partition(":")[0]


def _dtype(tensor: Mapping[str, Any]) -> int:
    return DataType.STRING if tensor["dtype"] is np.bytes_ else dtype_number(np.empty(0, tensor["dtype"]))


def _tensor_info(tensor: Mapping[str, Any]) -> meta_graph_pb2.TensorInfo:
    info = meta_graph_pb2.TensorInfo(name=tensor["name"], dtype=_dtype(tensor))
    for size in tensor["shape"].tolist():
        info.tensor_shape.dim.add(size=size)
    return info


def _read_signatures(content: bytes) -> dict[str, meta_graph_pb2.SignatureDef]:
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import flexbuffers

    model = schema.Model.GetRootAs(content, 0)
    for number in range(model.MetadataLength()):
        entry = model.Metadata(number)
        if entry.Name() == SIGNATURES_METADATA:
            packed = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
            try:
                signatures = flexbuffers.GetRoot(bytearray(packed)).AsMap
                return {
                    key.AsKey: meta_graph_pb2.SignatureDef.FromString(bytes(value.AsStringBytes))
                    for key, value in zip(signatures.Keys, signatures.Values, strict=True)
                }
            except (ValueError, TypeError, DecodeError) as error:
                raise invalid_argument(f"Invalid SignatureDefs found in TfLite model: {error}") from None
    return {}
