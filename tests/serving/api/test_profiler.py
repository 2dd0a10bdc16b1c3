"""The profiler service, called by TensorFlow's own client."""

import threading
import time

import grpc
import pytest
from tensorflow.python.profiler import profiler_client
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from serving.api import profiler
from serving.protos import MonitorRequest, ProfileRequest, ProfileResponse, TerminateRequest, TerminateResponse
from tests.docstring_example import run_example

SERVICE = "/tensorflow.ProfilerService/"


def method(client, name, response=ProfileResponse):
    return client.channel.unary_unary(SERVICE + name, lambda request: request.SerializeToString(), response.FromString)


@pytest.fixture
def busy(tiny, x):
    """Calls in the background, so that there is something to trace."""
    stop = threading.Event()

    def call():
        while not stop.is_set():
            tiny.predict(x=x)

    thread = threading.Thread(target=call)
    thread.start()
    yield tiny
    stop.set()
    thread.join()


def test_tensorflows_client_traces_the_server(busy, tmp_path):
    profiler_client.trace(busy.address, str(tmp_path), duration_ms=300, num_tracing_attempts=10)
    (file,) = (tmp_path / "plugins" / "profile").rglob("*.xplane.pb")
    assert file.name == busy.address.replace(":", "_") + ".xplane.pb"
    trace = xplane_pb2.XSpace.FromString(file.read_bytes())
    assert any(line.events for plane in trace.planes for line in plane.lines)


@pytest.mark.slow
def test_example_in_the_docstring_traces_the_server(busy, tmp_path):
    run_example(profiler, {"localhost:8500": busy.address, "/tmp/logs": str(tmp_path)})
    assert list((tmp_path / "plugins" / "profile").rglob("*.xplane.pb"))


def test_an_idle_server_has_nothing_to_trace(tiny, tmp_path, monkeypatch):
    idle = xplane_pb2.XSpace()
    idle.planes.add().lines.add()  # a thread without events
    monkeypatch.setattr("serving.api.profiler._trace", lambda *_: idle.SerializeToString())
    with pytest.raises(RuntimeError, match="No trace event was collected"):
        profiler_client.trace(tiny.address, str(tmp_path), duration_ms=50, num_tracing_attempts=1)


def test_a_trace_can_be_ended_early(tiny, tmp_path):
    request = ProfileRequest(duration_ms=60_000, repository_root=str(tmp_path), session_id="s", host_name="h")
    running = method(tiny, "Profile").future(request, timeout=50)
    terminate = method(tiny, "Terminate", TerminateResponse)
    while not running.done():
        terminate(TerminateRequest(session_id="s"))
        time.sleep(0.05)
    assert running.result() is not None
    assert (tmp_path / "s" / "h.xplane.pb").is_file()


def test_a_directory_that_cannot_be_written_is_said(tiny, tmp_path):
    (tmp_path / "file").touch()
    request = ProfileRequest(duration_ms=1, repository_root=str(tmp_path / "file"), session_id="s", host_name="h")
    message = tiny.refused(method(tiny, "Profile"), request, grpc.StatusCode.INTERNAL)
    assert "the trace cannot be written" in message


def test_monitoring_is_not_implemented(tiny):
    message = tiny.refused(method(tiny, "Monitor"), MonitorRequest(), grpc.StatusCode.UNIMPLEMENTED)
    assert message == "unimplemented."


def test_no_profiler_by_flag(start_server, tiny_model):
    client = start_server(model_name="tiny", model_base_path=str(tiny_model), enable_profiler=False)
    client.refused(method(client, "Profile"), ProfileRequest(), grpc.StatusCode.UNIMPLEMENTED)
