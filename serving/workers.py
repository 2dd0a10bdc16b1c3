"""Several server processes on the same ports; one that dies is replaced while the others serve on."""

import logging
import multiprocessing
import signal
import sys
import threading
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event

from serving.config import ServerConfig
from serving.process import configure_logging, run_process

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 30.0
_CHECK_SECONDS = 0.2


def run_workers(config: ServerConfig, stop: threading.Event) -> int:
    """Runs `config.workers` processes until `stop` is set.

    Returns:
        The exit code: 0, or that of a worker that could not start before any worker had started, because the others
        would fail in the same way.
    """
    context = multiprocessing.get_context("spawn")
    # Every worker holds the reading end, which reaches its end of file when this process closes its own or is killed.
    reader, writer = context.Pipe(duplex=False)
    started = context.Event()

    def spawn() -> SpawnProcess:
        process = context.Process(target=_work, args=(config, reader, started), daemon=False)
        process.start()
        return process

    workers = [spawn() for _ in range(config.workers)]
    code = 0
    while not stop.is_set() and not code:
        connection.wait([worker.sentinel for worker in workers], timeout=_CHECK_SECONDS)
        for place, worker in enumerate(workers):
            if worker.is_alive() or stop.is_set():
                continue
            worker.join()
            if worker.exitcode and worker.exitcode > 0 and not started.is_set():
                code = worker.exitcode
            else:
                logger.error("worker %s ended with code %s: replaced", worker.pid, worker.exitcode)
                workers[place] = spawn()
    writer.close()
    for worker in workers:
        worker.join(_GRACE_SECONDS)
        if worker.is_alive():
            worker.kill()
    return code


def _work(config: ServerConfig, parent: "connection.Connection[None, None]", started: Event) -> None:
    configure_logging()
    # Ctrl-C reaches the whole process group; the parent decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = threading.Event()

    def watch() -> None:
        parent.poll(None)
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()
    sys.exit(run_process(config, stop, started.set))
