"""A `recstack serve` process for the length of a block."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from features.errors import RecstackError

# A server that ends is noticed at once; one on a busy machine only takes its time.
_START_SECONDS = 600.0
_STOP_SECONDS = 20.0
_LOG_LINES = 5
# On Linux the kernel ends the server with the process that started it, however that one dies (PR_SET_PDEATHSIG).
_SERVE = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
os.execv(sys.executable, [sys.executable, "-m", "recstack", "serve", *sys.argv[1:]])
"""


def free_port() -> int:
    """A TCP port of this host that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def local_server(flags: Sequence[str], log: Path) -> Iterator[str]:
    """Starts a server, waits until it answers, and stops it when the block ends.

    Args:
        flags: TensorFlow Serving's flags, without the port.
        log: file for what the server prints.

    Yields:
        The gRPC address, `host:port`.

    Raises:
        RecstackError: the server ended or did not answer in time; the message holds the end of its log.
    """
    port = free_port()
    command = [sys.executable, "-c", _SERVE, f"--port={port}", *flags]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_until_listening(process, port, log)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_listening(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """As TensorFlow Serving does, the server opens its port when every model has a version that answers."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RecstackError(f"the server ended with code {process.returncode}: {_tail(log)}")
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RecstackError(f"the server did not answer within {_START_SECONDS:.0f} s: {_tail(log)}")


def _tail(log: Path) -> str:
    return (
        " | ".join(log.read_text("utf-8", errors="replace").strip().splitlines()[-_LOG_LINES:]) or f"nothing in {log}"
    )
