"""One server process: configures TensorFlow and gRPC, runs a server until it is stopped."""

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable

from features.errors import RecstackError
from serving.config import ServerConfig
from serving.errors import Code, ServingError

GRPC_EXPERIMENTS = "-event_engine_listener"
"""gRPC reads this variable once, at import. With its event engine a call crosses more threads before Python sees it, a
third of a call's cost (benchmarks/serving_speed.py)."""
EXIT_FAILED_START = 255
"""Exit code of `tensorflow_model_server` when it cannot start."""

_SWITCH_SECONDS = 0.0005


def configure_logging() -> None:
    """Logs to stderr, one line per message."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def run_process(config: ServerConfig, stop: threading.Event, started: Callable[[], None] = lambda: None) -> int:
    """Serves in this process until `stop` is set; returns the exit code.

    Args:
        config: The server's flags.
        stop: Ends the server.
        started: Called once the ports are open.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # deprecations and restored files, at every load
    try:
        _serve(config, stop, started)
        code = 0
    except ServingError as error:
        code = report_failed_start(f"{_words(error.code)}: {error.message}")
    except RecstackError as error:
        code = report_failed_start(str(error))
    atexit.register(_end_process, code)
    return code


def _end_process(code: int) -> None:
    # A thread that is inside TensorFlow when the interpreter is finalized, because it loads or frees a version, aborts
    # the process. So the process ends before that, and the operating system frees what the models hold.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _serve(config: ServerConfig, stop: threading.Event, started: Callable[[], None]) -> None:
    # Imports TensorFlow, which takes seconds; what can be checked without it was checked before.
    from serving.server import Server

    # A thread that returns from TensorFlow waits this long for one that runs Python code: 5 ms by default, ten times
    # a small model's whole call (benchmarks/serving_speed.py: p99 at one connection).
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


def _words(code: Code) -> str:
    # The real server writes "Invalid argument" in this line.
    return code.name.replace("_", " ").capitalize()


def report_failed_start(reason: str) -> int:
    """Prints on stderr why the server cannot start; returns the exit code."""
    print(f"Failed to start server. Error: {reason}", file=sys.stderr, flush=True)  # noqa: T201
    return EXIT_FAILED_START
