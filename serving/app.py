"""`recstack serve`: checks the command line, starts the server, waits for a signal."""

import logging
import os
import signal
import socket
import threading
from importlib.metadata import version
from pathlib import Path

from features.errors import InputError, RecstackError
from serving.config import ServerConfig
from serving.flags import parse_flags, usage
from serving.process import EXIT_FAILED_START, configure_logging, report_failed_start, run_process
from serving.workers import run_workers

logger = logging.getLogger(__name__)


def serve(arguments: list[str]) -> int:
    """Serves according to TensorFlow Serving's command line; returns the process's exit code."""
    if "--help" in arguments:
        print(usage())  # noqa: T201
        return EXIT_FAILED_START  # like the real server, which did not start
    try:
        config = parse_flags(arguments)
    except RecstackError as error:
        return report_failed_start(str(error))
    return run_server(config)


def run_server(config: ServerConfig) -> int:
    """Serves until SIGTERM or SIGINT.

    Returns:
        The process's exit code: 0 after a signal, 255 if the server could not start, which one line on stderr explains.
    """
    if config.version:
        print(f"TensorFlow ModelServer: recstack {version('recstack')}")  # noqa: T201
        print(f"TensorFlow Library: {version('tensorflow')}")  # noqa: T201
        return 0
    configure_logging()
    stop = _stop_on_signal()
    try:
        if not config.model_base_path and not config.model_config_file:
            raise InputError("both --model_base_path and --model_config_file are empty: give one of them")
        check_ports(config)
    except RecstackError as error:
        return report_failed_start(str(error))
    logger.info("Loading TensorFlow and %s; the ports open once every model is available", _models_of(config))
    run = run_workers if config.workers > 1 else run_process
    return run(config, stop)


def _models_of(config: ServerConfig) -> str:
    """The models of the command line, as the first line of the log names them."""
    if config.model_config_file:
        return f"the models of --model_config_file={config.model_config_file}"
    return f"model {config.model_name} of --model_base_path={config.model_base_path}"


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def check_ports(config: ServerConfig) -> None:
    """Checks that the TCP ports are free and the socket's directory is writable, before anything slow starts.

    Raises:
        InputError: A port is in use or not permitted, or the directory is not writable.
    """
    directory = Path(config.grpc_socket_path).parent
    if config.grpc_socket_path and not os.access(directory, os.W_OK):
        raise InputError(f"--grpc_socket_path={config.grpc_socket_path}: {directory} is not a writable directory")
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
