"""One TensorFlow session per version of a model, run by tensor names.

A `tf.compat.v1.Session` is the C++ DirectSession that TensorFlow Serving runs as well: it has the same error messages,
does not check shapes, stops at the deadline, and frees everything on `close()`, a ScaNN index included (an eager
`tf.saved_model.load` never does). `Session.run` itself casts and checks in Python, which costs a quarter of a
millisecond, so calls go through two private entry points of TensorFlow 2.20. Only this module uses them; where they are
missing, it falls back to `Session.run`.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import config_pb2

from features.native_log import silence_native_notices
from features.protocol.tensor_proto import dtype_number
from serving.errors import Code, ServingError, from_exception, invalid_argument
from serving.models.graph_termination import always_terminates, unbounded_functions
from serving.protos import read_text

try:
    from tensorflow.python.client import pywrap_tf_session
except ImportError:  # pragma: no cover -- another TensorFlow
    pywrap_tf_session = None

FAR_DEADLINE_SECONDS = 60.0
"""A deadline farther away than this is not enforced."""

Arrays = list[NDArray[Any]]
_FastCall = Callable[..., list[Any]]


def session_options(config: Any) -> config_pb2.ConfigProto:
    """The session's ConfigProto according to the server's flags.

    Args:
        config: The `ServerConfig`.

    Raises:
        ServingError: `--tensorflow_session_config_file` cannot be read.
    """
    if config.tensorflow_session_config_file:
        options = read_text(config.tensorflow_session_config_file, config_pb2.ConfigProto(), "tensorflow.ConfigProto")
    else:
        options = config_pb2.ConfigProto()
        both = config.tensorflow_session_parallelism
        options.intra_op_parallelism_threads = config.tensorflow_intra_op_parallelism or both
        options.inter_op_parallelism_threads = config.tensorflow_inter_op_parallelism or both
    options.gpu_options.per_process_gpu_memory_fraction = config.per_process_gpu_memory_fraction
    options.gpu_options.allow_growth = not config.per_process_gpu_memory_fraction
    if config.xla_cpu_compilation_enabled or config.xla_gpu_compilation_enabled:
        options.graph_options.optimizer_options.global_jit_level = config_pb2.OptimizerOptions.ON_1
    if config.single_threaded_executor:
        options.experimental.executor_type = "SINGLE_THREADED_EXECUTOR"
        # Functions called by a `tf.cond` also run on the caller's thread then, instead of on one of TensorFlow's.
        options.inter_op_parallelism_threads = options.inter_op_parallelism_threads or -1
    return options


class GraphSession:
    """A session with a loaded graph, and the calls prepared on it. Thread-safe."""

    def __init__(self, options: config_pb2.ConfigProto, build: Callable[[Any], Any]) -> None:
        """Opens a session and fills its graph.

        Args:
            options: The session's options.
            build: Fills the session's graph, which is the default graph meanwhile; returns its MetaGraphDef.
        """
        silence_native_notices()
        self.graph = tf.Graph()
        self.session = tf.compat.v1.Session(graph=self.graph, config=options)
        try:
            with self.graph.as_default():
                self.meta_graph = build(self.session)
        except BaseException:
            self.session.close()
            raise
        self.unbounded = unbounded_functions(self.meta_graph.graph_def)
        """Functions of the graph that may run forever."""
        self._calls: dict[tuple[tuple[str, ...], tuple[str, ...]], PreparedCall] = {}
        self._lock = threading.Lock()

    def prepare(self, feeds: Sequence[str], fetches: Sequence[str]) -> "PreparedCall":
        """The call that feeds and fetches these tensors; it is prepared once.

        Raises:
            ServingError: A name is not in the graph.
        """
        key = (tuple(feeds), tuple(fetches))
        call = self._calls.get(key)
        if call is None:
            with self._lock:
                call = self._calls.get(key)
                if call is None:
                    call = self._calls[key] = PreparedCall(self, key[0], key[1])
        return call

    @property
    def may_run_forever(self) -> bool:
        """Whether a prepared call may run forever."""
        return any(not call.always_terminates for call in self._calls.values())

    def close(self) -> None:
        """Frees the graph's memory; no call may be running."""
        self._calls.clear()
        self.session.close()
        self.graph = None
        self.session = None


class PreparedCall:
    """A run of the graph with fixed feeds and fetches."""

    def __init__(self, owner: GraphSession, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> None:
        self._session = owner.session
        self.feeds = feeds
        try:
            tensors = [owner.graph.get_tensor_by_name(name) for name in feeds]
            results = [owner.graph.get_tensor_by_name(name) for name in fetches]
        except (KeyError, ValueError, TypeError) as error:
            raise invalid_argument(f"Tensor not found in the graph: {error}") from None
        self._tensors, self._results = tensors, results
        self._dtypes = [tensor.dtype.base_dtype.as_datatype_enum for tensor in tensors]
        # The C++ session numbers the arguments in the order of their names.
        order = sorted(range(len(feeds)), key=feeds.__getitem__)
        self._argument = {index: position for position, index in enumerate(order)}
        # A call that may run forever always takes the slow path, with or without a deadline. TensorFlow optimises the
        # graph separately for each path, which may take longer than a deadline, so that warm-up requests, which have no
        # deadline, must take the path of the calls that have one.
        self.always_terminates = always_terminates(results, owner.unbounded)
        self._fast = self._make_fast_call(feeds, fetches) if self.always_terminates else None

    def _make_fast_call(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> _FastCall | None:
        if not hasattr(self._session, "_make_callable_from_options"):  # pragma: no cover -- another TensorFlow
            return None
        if len(set(feeds)) < len(feeds):
            return None
        options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
        quick: _FastCall = self._session._make_callable_from_options(options)
        return quick

    def __call__(self, arrays: Arrays, timeout: float | None = None) -> Arrays:
        """Runs the graph once.

        Args:
            arrays: One array for each feed, in order; shapes are not checked.
            timeout: Seconds that the call may take; None for no limit.

        Raises:
            ServingError: The run failed; code and message are those of the C++ session.
        """
        self.check_types(arrays)
        try:
            if self._fast is None:
                results = self._run_with_timeout(arrays, timeout)
            elif timeout is None or timeout > FAR_DEADLINE_SECONDS:
                results = self._fast(*arrays)
            else:
                results = _run_to_the_end(self._fast, arrays, timeout)
        except tf.errors.DeadlineExceededError as error:
            raise ServingError(Code.DEADLINE_EXCEEDED, error.message) from None
        except (tf.errors.OpError, RuntimeError, ValueError, MemoryError) as error:
            raise from_exception(error) from None
        return [np.asarray(result) for result in results]

    def check_types(self, arrays: Arrays) -> None:
        """Checks the arrays' types.

        Raises:
            ServingError: One differs from the graph's; the message is that of the C++ session.
        """
        for index, (array, expected) in enumerate(zip(arrays, self._dtypes, strict=True)):
            given = dtype_number(array)
            if given != expected:
                raise type_error(self._argument[index], expected, given)

    def _run_with_timeout(self, arrays: Arrays, timeout: float | None) -> list[Any]:
        if timeout is not None and timeout <= 0:
            raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline exceeded before the model ran")
        is_near = timeout is not None and timeout <= FAR_DEADLINE_SECONDS
        options = config_pb2.RunOptions(timeout_in_ms=max(1, int(timeout * 1000)) if timeout and is_near else 0)
        if pywrap_tf_session is None or not hasattr(self._session, "_call_tf_sessionrun"):  # pragma: no cover
            feeds = dict(zip(self._tensors, arrays, strict=True))
            return list(self._session.run(self._results, feeds, options=options))
        buffer = pywrap_tf_session.TF_NewBufferFromString(options.SerializeToString())
        try:
            feeds = {tensor._as_tf_output(): array for tensor, array in zip(self._tensors, arrays, strict=True)}
            fetches = [tensor._as_tf_output() for tensor in self._results]
            return list(self._session._call_tf_sessionrun(buffer, feeds, fetches, [], None))
        finally:
            with suppress(Exception):
                pywrap_tf_session.TF_DeleteBuffer(buffer)


def _run_to_the_end(run: _FastCall, arrays: Arrays, timeout: float) -> list[Any]:
    started = time.perf_counter()
    results = run(*arrays)
    if time.perf_counter() - started > timeout:
        raise ServingError(Code.DEADLINE_EXCEEDED, "The model answered after the deadline")
    return results


def type_error(argument: int, expected: int, given: int) -> ServingError:
    """The C++ session's error for an argument of the wrong type, both given by their numbers."""
    names = _dtype_name(expected), _dtype_name(given)
    return invalid_argument(f"Expects arg[{argument}] to be {names[0]} but {names[1]} is provided")


def _dtype_name(number: int) -> str:
    # TensorFlow's C++ names: DT_FLOAT is "float", DT_STRING "string".
    return str(types_pb2.DataType.Name(number)).removeprefix("DT_").lower()
