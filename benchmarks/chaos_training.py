"""Trainings whose processes are killed by `kill -9` at random moments, beside undisturbed ones.

    .venv/bin/python benchmarks/chaos_training.py                         # ten kills each of one process and of two
    .venv/bin/python benchmarks/chaos_training.py --kills 20 --workers 1

Each attempt is `recstack train retrieval` on generated events. Three in four kills come within two seconds after the
attempt has written a checkpoint of its own, wherever it then is: in a step, a validation or the next checkpoint; the
others come at any moment from the start of the process, so that the attempt may have done nothing. Of two processes the
first, the second or both are killed. The same command again goes on, until the training is finished.
"""

import math
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import psutil
import tyro
from prepare import make_events

from features.disk.manifest import read_manifest
from recstack import stages
from recstack.config import StackConfig, parse_config

CONFIG = """
workdir = "WORKDIR"

[[features.query]]
kind = "history"
length = 10

[[features.candidate]]
kind = "id"
name = "item_id"

[pipeline]
report = false

[pipeline.interactions]
path = "EVENTS"

[retrieval]
dimension = 16
batch_size = 256
patience = 0
checkpoint_seconds = 0.5

[retrieval.negatives]
kind = "uniform"
num_negatives = 64
"""
METRIC = "ndcg@20"
_SHARE_OF_EARLY_KILLS = 0.25
_LATEST_EARLY_KILL = 15.0  # seconds
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments: how many processes train, and how many kills each training has to survive."""

    workers: tuple[int, ...] = (1, 2)
    """Numbers of processes that train together."""
    kills: int = 10
    """Kills in a row; an attempt that finishes before its kill ends the row."""
    events: int = 50_000
    """Generated events."""
    epochs: int = 40
    """Passes over the training events; enough that the training does not end before the last kill."""
    latest_kill: float = 2.0
    """Seconds after an attempt's first checkpoint within which it is killed."""
    seed: int = 0
    """Seed of the moments and of the victims."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Kills, wall time and validation metric of a finished training."""

    kills: int
    """Attempts that were ended by `kill -9`."""
    seconds: float
    """Wall time of all attempts."""
    metric: float
    """Of the validation, of the model that is kept."""


def main(arguments: Arguments) -> None:
    """Prints a line for each number of processes."""
    print(f"{'processes':>9}{'kills':>7}{'seconds':>9}{'undisturbed':>13}{METRIC:>10}{METRIC + ' undisturbed':>22}")
    with TemporaryDirectory() as root:
        for workers in arguments.workers:
            calm, shaken = (
                trained(Path(root) / f"{workers}-{kills}", workers, kills, arguments) for kills in (0, arguments.kills)
            )
            print(
                f"{workers:>9}{shaken.kills:>7}{shaken.seconds:>9.0f}{calm.seconds:>13.0f}{shaken.metric:>10.5f}"
                f"{calm.metric:>22.5f}",
                flush=True,
            )


def trained(folder: Path, workers: int, kills: int, arguments: Arguments) -> Outcome:
    """A training in so many processes that is killed so often, by its end.

    Raises:
        RuntimeError: An attempt failed by itself.
    """
    stack, command = _prepared(folder, workers, arguments)
    chance, started = random.Random(arguments.seed), time.monotonic()
    done = sum(_attempt(command, stack, chance, arguments.latest_kill) for _ in range(kills))
    _attempt(command, stack, None, 0.0)
    (run,) = stack.layout.runs.all()
    metric = read_manifest(run.stage("retrieval").manifest, "run").metrics[METRIC]
    return Outcome(kills=done, seconds=time.monotonic() - started, metric=float(metric))


def _attempt(command: list[str], stack: StackConfig, chance: random.Random | None, latest: float) -> bool:
    """Runs the command and, with `chance`, kills a process of it; returns whether it was killed before its end."""
    with TemporaryFile() as log:
        job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)
        if chance is not None and _is_due(job, stack, chance, latest):
            _kill_one_of(job, chance)
            job.wait()
            return True
        if job.wait():
            log.seek(0)
            raise RuntimeError(log.read().decode()[-2000:])
    return False


def _is_due(job: "subprocess.Popen[bytes]", stack: StackConfig, chance: random.Random, latest: float) -> bool:
    """Waits for the moment of the kill; false if the process ends before."""
    is_early = chance.random() < _SHARE_OF_EARLY_KILLS
    moment = time.monotonic() + (chance.uniform(0, _LATEST_EARLY_KILL) if is_early else math.inf)
    before = _checkpoints(stack)
    while job.poll() is None and time.monotonic() < moment:
        if not is_early and moment == math.inf and _checkpoints(stack) != before:
            moment = time.monotonic() + chance.uniform(0, latest)
        time.sleep(_LOOK_SECONDS)
    return job.poll() is None


def _kill_one_of(job: "subprocess.Popen[bytes]", chance: random.Random) -> None:
    """One of the workers, or all processes of the job at once."""
    workers = psutil.Process(job.pid).children()
    victim = chance.choice([None, *workers])
    if victim is None:
        os.killpg(job.pid, signal.SIGKILL)
    else:
        victim.kill()


def _checkpoints(stack: StackConfig) -> set[tuple[str, int]]:
    """Names and times of the checkpoints that the training could go on from."""
    found = set()
    for run in stack.layout.runs.all():
        for path in run.stage("retrieval").last_checkpoints.glob("*.index"):
            with suppress(FileNotFoundError):
                found.add((path.name, path.stat().st_mtime_ns))
    return found


def _prepared(folder: Path, workers: int, arguments: Arguments) -> tuple[StackConfig, list[str]]:
    folder.mkdir()
    make_events(folder / "events.parquet", arguments.events)
    text = CONFIG.replace("EVENTS", str(folder / "events.parquet")).replace("WORKDIR", str(folder / "work"))
    config = folder / "chaos.toml"
    config.write_text(text.replace("patience = 0", f"patience = 0\nepochs = {arguments.epochs}"), encoding="utf-8")
    stack = parse_config(config.read_text("utf-8"))
    stages.prepare(stack)
    command = [sys.executable, "-m", "recstack", "train", "retrieval", "--config", str(config)]
    return stack, [*command, f"--launch={workers}"] if workers > 1 else command


if __name__ == "__main__":
    main(tyro.cli(Arguments))
