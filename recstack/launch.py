"""Several processes of one training on this machine, for `recstack train --launch N`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from features.errors import InputError, RecstackError
from recstack.local_server import free_port

_LOOK_SECONDS = 0.2
_STOP_SECONDS = 60.0

_Process = subprocess.Popen[bytes]


def launch(arguments: Sequence[str], workers: int) -> int:
    """Runs `recstack` with the arguments as so many workers of one training, and waits for them.

    The first worker is the chief: it writes the run and alone prints to this terminal, unless another one fails. If a
    worker fails, the others are killed; the same command again goes on from the last checkpoint. If this process is
    asked to end, the workers save together before they end.

    Args:
        arguments: Of the command line, the verb first.
        workers: Number of processes, at least 1.

    Returns:
        0, or the exit code of the worker that failed first.

    Raises:
        InputError: `workers` is not positive.
        RecstackError: A worker was killed.
    """
    if workers < 1:
        raise InputError(f"--launch {workers}: expected at least 1 process")
    with TemporaryDirectory(prefix="recstack-launch-") as temporary:
        logs = [Path(temporary) / f"worker-{index}.log" for index in range(workers)]
        with _running(arguments, logs) as processes:
            failed = _wait(processes)
        if failed is None:
            return 0
        if failed > 0:
            sys.stderr.write(logs[failed].read_text("utf-8", errors="replace"))
    code = processes[failed].returncode
    if code < 0:
        raise RecstackError(
            f"worker {failed} of {workers} was ended by signal {-code}; run the same command again to go on"
        )
    return code


def worker_config(addresses: Sequence[str], index: int) -> str:
    """The value of `TF_CONFIG` for one of the workers at these addresses, `host:port`."""
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}})


@contextmanager
def _running(arguments: Sequence[str], logs: Sequence[Path]) -> Iterator[list[_Process]]:
    """A process for each log; all have ended when the block ends, also where this process is asked to end."""
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(len(logs))]
    command = [sys.executable, "-m", "recstack", *arguments, "--strategy", "multi_worker_mirrored"]
    processes: list[_Process] = []
    former = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        for index, log in enumerate(logs):
            environment = os.environ | {"TF_CONFIG": worker_config(addresses, index)}
            with log.open("wb") as output:
                files = (None, None) if index == 0 else (subprocess.DEVNULL, output)
                processes.append(subprocess.Popen(command, env=environment, stdout=files[0], stderr=files[1]))
        yield processes
    except SystemExit:  # asked to end: they save together
        for process in processes:
            process.terminate()
        _wait_for_all(processes)
        raise
    finally:
        for process in processes:
            process.kill()
            process.wait()
        signal.signal(signal.SIGTERM, former)


def _free_ports(count: int) -> set[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return ports


def _wait(processes: Sequence[_Process]) -> int | None:
    """The first worker that failed; None once all have ended well."""
    while True:
        codes = [process.poll() for process in processes]
        for index, code in enumerate(codes):
            if code:
                return index
        if None not in codes:
            return None
        time.sleep(_LOOK_SECONDS)


def _wait_for_all(processes: Sequence[_Process]) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline and any(process.poll() is None for process in processes):
        time.sleep(_LOOK_SECONDS)
