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


def launch(arguments: Sequence[str], workers: int, servers: int = 0) -> int:
    """Runs `recstack` with the arguments as the processes of one training, and waits for them.

    The first process is the chief: it writes the run and alone prints to this terminal, unless another one fails. The
    same command again goes on from the last checkpoint. If this process is asked to end, the training saves before its
    processes end.

    Without parameter servers the first worker is the chief, and if one fails, the others are killed. With parameter
    servers the chief is a process of its own, the coordinator: it goes on as long as one worker is left.

    Args:
        arguments: Of the command line, the verb first.
        workers: Number of workers, at least 1.
        servers: Number of parameter servers; 0 trains without.

    Returns:
        0, or the exit code of the process that failed first.

    Raises:
        InputError: `workers` is not positive, or `servers` is negative.
        RecstackError: A process was killed.
    """
    if workers < 1:
        raise InputError(f"--launch {workers}: expected at least 1 process")
    if servers < 0:
        raise InputError(f"--servers {servers}: expected at least 1 parameter server, or 0 to train without")
    names = _process_names(workers, servers)
    with TemporaryDirectory(prefix="recstack-launch-") as temporary:
        logs = [Path(temporary) / f"{name.replace(' ', '-')}.log" for name in names]
        with _running(arguments, logs, servers) as processes:
            failed = _wait_for_coordinator(processes, workers) if servers else _wait(processes)
        if failed is None:
            return 0
        if failed > 0:
            sys.stderr.write(logs[failed].read_text("utf-8", errors="replace"))
    code = processes[failed].returncode
    if code < 0:
        of = "" if servers else f" of {workers}"
        raise RecstackError(f"{names[failed]}{of} was ended by signal {-code}; run the same command again to go on")
    return code


def worker_config(addresses: Sequence[str], index: int) -> str:
    """The value of `TF_CONFIG` for one of the workers at these addresses, `host:port`."""
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}})


def server_configs(addresses: Sequence[str], servers: int) -> list[str]:
    """The values of `TF_CONFIG` for a coordinator, workers and parameter servers at these addresses, in that order."""
    split = len(addresses) - servers
    cluster = {"chief": list(addresses[:1]), "worker": list(addresses[1:split]), "ps": list(addresses[split:])}
    tasks = [(role, index) for role, members in cluster.items() for index in range(len(members))]
    return [json.dumps({"cluster": cluster, "task": {"type": role, "index": index}}) for role, index in tasks]


def _process_names(workers: int, servers: int) -> list[str]:
    """What the processes are called, in the order in which they are started, the chief first."""
    of_workers = [f"worker {index}" for index in range(workers)]
    if not servers:
        return of_workers
    return ["coordinator", *of_workers, *(f"parameter server {index}" for index in range(servers))]


@contextmanager
def _running(arguments: Sequence[str], logs: Sequence[Path], servers: int) -> Iterator[list[_Process]]:
    """A process for each log; all have ended when the block ends, also where this process is asked to end."""
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(len(logs))]
    strategy = "parameter_server" if servers else "multi_worker_mirrored"
    configs = (
        server_configs(addresses, servers)
        if servers
        else [worker_config(addresses, index) for index in range(len(logs))]
    )
    command = [sys.executable, "-m", "recstack", *arguments, "--strategy", strategy]
    processes: list[_Process] = []
    former = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        for log, config in zip(logs, configs, strict=True):
            with log.open("wb") as output:
                files = (subprocess.DEVNULL, output) if processes else (None, None)
                environment = os.environ | {"TF_CONFIG": config}
                processes.append(subprocess.Popen(command, env=environment, stdout=files[0], stderr=files[1]))
        yield processes
    except SystemExit:  # asked to end: they save together, or the coordinator does with the help of the others
        savers = processes[:1] if servers else processes
        for process in savers:
            process.terminate()
        _wait_for_all(savers)
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


def _wait_for_coordinator(processes: Sequence[_Process], workers: int) -> int | None:
    """0 if the coordinator failed, a worker's number once all are lost; None once the coordinator has ended well."""
    while True:
        code = processes[0].poll()
        if code is not None:
            return 0 if code else None
        if all(worker.poll() is not None for worker in processes[1 : 1 + workers]):
            return workers
        time.sleep(_LOOK_SECONDS)


def _wait_for_all(processes: Sequence[_Process]) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline and any(process.poll() is None for process in processes):
        time.sleep(_LOOK_SECONDS)
