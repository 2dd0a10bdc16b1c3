"""Several server processes on the same ports; one that dies is started anew, the rest go on."""

import logging
import multiprocessing
import signal
import sys
import threading
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event

from serving.config import ServerConfig

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 30.0


def run_workers(config: ServerConfig, stop: threading.Event) -> int:
    """Runs `config.workers` processes until `stop` is set.

    Returns:
        The exit code: 0, or that of a worker that could not start before any of them was up: the next one could not
        either.
    """
    context = multiprocessing.get_context("spawn")
    # Every worker holds the reading end: it sees the end of file when this process closes its own, or is killed.
    reader, writer = context.Pipe(duplex=False)

    up = context.Event()

    def spawn() -> SpawnProcess:
        process = context.Process(target=_work, args=(config, reader, up), daemon=False)
        process.start()
        return process

    workers = [spawn() for _ in range(config.workers)]
    code = 0
    while not stop.is_set() and not code:
        connection.wait([worker.sentinel for worker in workers], timeout=0.2)
        for place, worker in enumerate(workers):
            if worker.is_alive() or stop.is_set():
                continue
            worker.join()
            if worker.exitcode and worker.exitcode > 0 and not up.is_set():
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


def _work(config: ServerConfig, parent: "connection.Connection[None, None]", up: Event) -> None:
    from serving.app import run_worker

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Ctrl-C reaches the whole process group; the parent says when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = threading.Event()

    def watch() -> None:
        parent.poll(None)
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()
    sys.exit(run_worker(config, stop, up.set))
