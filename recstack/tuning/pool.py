"""The processes of a search: started, watched, replaced when one dies, ended with this process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from optuna.study import Study
from optuna.trial import TrialState

from features.disk.layout import StageName
from features.disk.searches import TuningLayout
from features.errors import InputError, RecstackError
from recstack.tuning.search import Limits
from recstack.tuning.study import WORKER, fail

_LOOK_SECONDS = 0.5
# A worker looks at the time between steps; what takes longer than this is ended by force.
_GRACE_SECONDS = 30.0
_MOST_DEATHS = 5

_Process = subprocess.Popen[bytes]


@dataclass(frozen=True, kw_only=True)
class Pool:
    """What the processes are started with."""

    stage: StageName
    """Whose settings are searched."""
    layout: TuningLayout
    """The search's directory."""
    study: Study
    """Its trials."""
    size: int
    """Number of processes at once."""
    limits: Limits
    """When they end."""


def run_pool(pool: Pool, look: Callable[[], None]) -> None:
    """Runs the processes until all have ended; a process that dies is replaced, and its trial recorded as failed.

    Args:
        pool: what to run.
        look: called twice a second.

    Raises:
        InputError: a process found the dataset or the configuration not to be as it must.
        RecstackError: processes fail or die again and again.
    """
    deaths = done = 0
    with _running(pool) as processes:
        while processes:
            time.sleep(_LOOK_SECONDS)
            look()
            if time.time() > pool.limits.until + _GRACE_SECONDS:
                return
            for number, process in list(processes.items()):
                code = process.poll()
                if code is None:
                    continue
                _close(processes.pop(number))
                if code > 0:
                    raise _failure(pool.layout, number, code)
                if code < 0:
                    _bury(pool.study, number, -code)
                    before, done = done, _num_done(pool.study)
                    deaths = 1 if done > before else deaths + 1
                    if deaths >= _MOST_DEATHS:
                        raise RecstackError(
                            f"{deaths} workers were killed one after the other, the last one by signal {-code}; lower "
                            "--workers, the dimension or the batch size, and run the same command again: it goes on"
                        )
                    processes[number] = _start(pool, number)
    look()


def _num_done(study: Study) -> int:
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _bury(study: Study, number: int, signal_number: int) -> None:
    """Records the trial of a process that was killed."""
    reason = "out of memory?" if signal_number == signal.SIGKILL else "a crash of a library?"
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(WORKER) == number:
            fail(study, trial, f"its process was killed by signal {signal_number}; {reason}")


def _failure(layout: TuningLayout, number: int, code: int) -> RecstackError:
    """The last line that a process wrote."""
    lines = layout.log(number).read_text("utf-8", errors="replace").strip().splitlines() or [f"exit code {code}"]
    return InputError(lines[-1]) if code == InputError.exit_code else RecstackError(f"worker {number}: {lines[-1]}")


@contextmanager
def _running(pool: Pool) -> Iterator[dict[int, _Process]]:
    """The processes by number; none is left when the block ends."""
    processes: dict[int, _Process] = {}
    former = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        for number in range(pool.size):
            processes[number] = _start(pool, number)
        yield processes
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            _close(process)
        signal.signal(signal.SIGTERM, former)


def _close(process: _Process) -> None:
    """Waits for a process that ends, and closes its standard input."""
    with process:
        pass


def _start(pool: Pool, number: int) -> _Process:
    threads = str(max(1, (os.cpu_count() or 1) // pool.size))
    shares = {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads} if pool.size > 1 else {}
    limits = pool.limits
    where = [pool.stage, str(pool.layout.root), *map(str, (number, limits.until, limits.confirm_from, limits.trials))]
    with pool.layout.log(number).open("wb") as log:
        # The pipe ends with this process, however that ends, and with it the worker.
        return subprocess.Popen(
            [sys.executable, "-m", "recstack.tuning.worker", *where],
            env=os.environ | shares,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
