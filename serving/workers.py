"""Several server processes on the same ports; one that dies is started anew, the rest go on."""

import logging
import multiprocessing
import signal
import sys
import threading
import time
from multiprocessing import connection
from multiprocessing.context import SpawnProcess

from serving.config import ServerConfig

logger = logging.getLogger(__name__)

_SHORT_LIFE_SECONDS = 30.0
"""A worker that dies sooner, before any worker was up, will not do better the next time."""
_GRACE_SECONDS = 30.0


def run_workers(config: ServerConfig, stop: threading.Event) -> int:
    """Runs `config.workers` processes until `stop` is set.

    Returns:
        The exit code: 0, or that of the worker that could not start.
    """
    context = multiprocessing.get_context("spawn")
    # Every worker holds the reading end: it sees the end of file when this process closes its own, or is killed.
    reader, writer = context.Pipe(duplex=False)

    def spawn() -> SpawnProcess:
        process = context.Process(target=_work, args=(config, reader), daemon=False)
        process.start()
        return process

    born = time.monotonic()
    workers = [spawn() for _ in range(config.workers)]
    code = 0
    while not stop.is_set() and not code:
        connection.wait([worker.sentinel for worker in workers], timeout=0.2)
        for place, worker in enumerate(workers):
            if worker.is_alive() or stop.is_set():
                continue
            worker.join()
            if worker.exitcode and worker.exitcode > 0 and time.monotonic() - born < _SHORT_LIFE_SECONDS:
                code = worker.exitcode
            else:
                logger.error("worker %s ended with code %s: started anew", worker.pid, worker.exitcode)
                workers[place] = spawn()
    writer.close()
    for worker in workers:
        worker.join(_GRACE_SECONDS)
        if worker.is_alive():
            worker.kill()
    return code


def _work(config: ServerConfig, parent: "connection.Connection[None, None]") -> None:
    from serving.app import run_worker

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Ctrl-C reaches the whole process group; the parent says when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = threading.Event()

    def watch() -> None:
        parent.poll(None)
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()
    sys.exit(run_worker(config, stop))
