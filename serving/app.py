"""`recstack serve`: check what can be checked at once, start the server, wait for a signal."""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from features.errors import InputError, RecstackError
from serving.config import ServerConfig
from serving.errors import Code, ServingError
from serving.flags import parse_flags, usage
from serving.workers import run_workers

_SWITCH_SECONDS = 0.0005
GRPC_EXPERIMENTS = "-event_engine_listener"
"""gRPC reads it once, when it is imported. With its event engine a call crosses more threads before Python sees it: a
third of what a call costs (benchmarks/serving_speed.py)."""
EXIT_FAILED_START = 255
"""What `tensorflow_model_server` exits with where it cannot start."""


def serve(arguments: list[str]) -> int:
    """Serves as a command line asks for, TensorFlow Serving's; returns the process's exit code."""
    if "--help" in arguments:
        print(usage())  # noqa: T201
        return EXIT_FAILED_START  # as there: asking for help is a way not to start
    try:
        config = parse_flags(arguments)
    except RecstackError as error:
        return _failed(str(error))
    return run_server(config)


def run_server(config: ServerConfig) -> int:
    """Serves until SIGTERM or SIGINT.

    Returns:
        The process's exit code: 0 after a signal, 255 where the server could not start (said in one line on stderr).
    """
    if config.version:
        print(f"TensorFlow ModelServer: recstack {version('recstack')}")  # noqa: T201
        print(f"TensorFlow Library: {version('tensorflow')}")  # noqa: T201
        return 0
    stop = _stop_by_signal()
    try:
        if not config.model_base_path and not config.model_config_file:
            raise InputError("both --model_base_path and --model_config_file are empty: give one of them")
        check_ports(config)
    except RecstackError as error:
        return _failed(str(error))
    if config.workers > 1:
        return run_workers(config, stop)
    return run_worker(config, stop)


def _stop_by_signal() -> threading.Event:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def run_worker(config: ServerConfig, stop: threading.Event, started: Callable[[], None] = lambda: None) -> int:
    """Serves in this process until `stop` is set or a signal comes; returns the exit code.

    Args:
        config: what to serve.
        stop: ends the server.
        started: called once the ports are open.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # deprecations and restored files, at every load
    try:
        return _serve(config, stop, started)
    except ServingError as error:
        return _failed(f"{_spelt(error.code)}: {error.message}")
    except RecstackError as error:
        return _failed(str(error))


def _serve(config: ServerConfig, stop: threading.Event, started: Callable[[], None]) -> int:
    # Imports TensorFlow, which takes seconds: a port in use has been said before.
    from serving.server import Server

    # A thread that comes back from a model run waits this long for one that computes in Python: 5 ms by default, ten
    # times a small model's whole call (benchmarks/serving_speed.py: p99 at one connection).
    sys.setswitchinterval(_SWITCH_SECONDS)
    server = Server(config)
    failure: list[BaseException] = []

    def start() -> None:
        try:
            server.start()
            started()
        except BaseException as error:
            failure.append(error)
            stop.set()

    threading.Thread(target=start, name="start", daemon=True).start()
    stop.wait()
    server.stop()
    if failure:
        raise failure[0]
    return 0


def _spelt(code: Code) -> str:
    # "Invalid argument", as the real server says it in this one line.
    return code.name.replace("_", " ").capitalize()


def _failed(reason: str) -> int:
    print(f"Failed to start server. Error: {reason}", file=sys.stderr, flush=True)  # noqa: T201
    return EXIT_FAILED_START


def check_ports(config: ServerConfig) -> None:
    """Tries the TCP ports and the socket's directory before anything slow starts.

    Raises:
        InputError: one is in use or not permitted.
    """
    directory = Path(config.grpc_socket_path).parent
    if config.grpc_socket_path and not os.access(directory, os.W_OK):
        raise InputError(f"--grpc_socket_path={config.grpc_socket_path}: {directory} is no directory to write to")
    for flag in ("port", "rest_api_port"):
        port = getattr(config, flag)
        if not port:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError as error:
                raise InputError(f"--{flag}={port}: cannot listen there: {error.strerror}") from None
