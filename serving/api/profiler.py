"""ProfilerService: traces the server for a while and saves the trace for TensorBoard, as TensorFlow's own service does.

    >>> tf.profiler.experimental.client.trace("grpc://localhost:8500", "/tmp/logs", duration_ms=2000)

The client names the directory, so that a client who may call the server can have it write a file wherever the server
may; `--noenable_profiler` turns the service off.
"""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import profiler_options_pb2, xplane_pb2

from serving.api.call import Call, Rpc
from serving.errors import Code, ServingError
from serving.protos import ProfileResponse, TerminateResponse

_SUFFIX = ".xplane.pb"
_TRACER_LEVELS = ("host_tracer_level", "device_tracer_level", "python_tracer_level")


class Profiler:
    """The RPCs of ProfilerService."""

    def __init__(self) -> None:
        self._running: dict[str, threading.Event] = {}

    def rpcs(self) -> dict[str, Rpc]:
        """The RPCs by name."""
        return {"Profile": self._profile, "Terminate": self._terminate, "Monitor": _monitor}

    def _profile(self, request: Any, call: Call) -> Any:
        options = profiler_options_pb2.ProfileOptions.FromString(request.opts)
        seconds = (options.duration_ms or request.duration_ms) / 1000
        if call.timeout is not None:
            seconds = min(seconds, call.timeout)
        with self._session(request.session_id) as stopped:
            trace = _trace(options, stopped, seconds)
        _save(trace, request)
        return ProfileResponse(empty_trace=_is_empty(trace))

    @contextmanager
    def _session(self, name: str) -> Iterator[threading.Event]:
        stopped = self._running[name] = threading.Event()
        try:
            yield stopped
        finally:
            self._running.pop(name, None)

    def _terminate(self, request: Any, call: Call) -> Any:
        running = self._running.get(request.session_id)
        if running is not None:
            running.set()
        return TerminateResponse()


def _trace(options: Any, stopped: threading.Event, seconds: float) -> bytes:
    """Traces the process until the time is over or `stopped` is set; returns a serialized XSpace."""
    from tensorflow.python.profiler.internal import _pywrap_profiler

    session = _pywrap_profiler.ProfilerSession()
    # The session gives out its XSpace as a file only.
    with tempfile.TemporaryDirectory() as directory:
        try:
            session.start(directory, {level: getattr(options, level) for level in _TRACER_LEVELS})
            stopped.wait(seconds)
            session.export_to_tb()
            (file,) = Path(directory).rglob(f"*{_SUFFIX}")
            return file.read_bytes()
        except (tf.errors.OpError, RuntimeError, ValueError) as error:
            raise ServingError(Code.INTERNAL, f"The server cannot be traced: {error}") from None


def _is_empty(trace: bytes) -> bool:
    planes = xplane_pb2.XSpace.FromString(trace).planes
    return not any(line.events for plane in planes for line in plane.lines)


def _save(trace: bytes, request: Any) -> None:
    directory = Path(request.repository_root) / request.session_id
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{request.host_name.replace(':', '_')}{_SUFFIX}").write_bytes(trace)
    except OSError as error:
        raise ServingError(Code.INTERNAL, f"{directory}: the trace cannot be written: {error.strerror}") from None


def _monitor(request: Any, call: Call) -> Any:
    # The real server's service does not implement it either.
    raise ServingError(Code.UNIMPLEMENTED, "unimplemented.")
