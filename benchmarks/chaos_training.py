"""Trainings whose processes are killed by `kill -9` at random moments, beside undisturbed ones.

    .venv/bin/python benchmarks/chaos_training.py                                 # ten kills for each cluster
    .venv/bin/python benchmarks/chaos_training.py --kills 20 --clusters servers   # twenty with parameter servers

Each attempt is `recstack train retrieval` on generated events. Three in four kills come within two seconds after a new
checkpoint, wherever the training then is: in a step, a validation or the next checkpoint; the others come at any moment
of the next fifteen seconds, so that the attempt may have done nothing. A process or all of them are killed, each as
likely. Workers of parameter servers go on when one of them is lost: the next kill then hits the same attempt. Where
the attempt has ended, the same command again goes on, until the training is finished.
"""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Literal

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


# Options of `recstack train` by the name of the processes that train together.
CLUSTERS: Mapping[str, tuple[str, ...]] = {
    "one": (),
    "two": ("--launch=2",),
    "servers": ("--launch=2", "--servers=1", "--retrieval.optimizer.kind=adagrad"),
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments: which processes train, and how many kills each training has to survive."""

    clusters: tuple[Literal["one", "two", "servers"], ...] = ("one", "two", "servers")
    """One process, two that make each step together, or a coordinator with two workers and a parameter server."""
    kills: int = 10
    """Kills in a row; an attempt that finishes before its kill ends the row."""
    undisturbed: int = 1
    """Trainings without kills, which show how much the metric differs by itself."""
    events: int = 50_000
    """Generated events."""
    epochs: int = 40
    """Passes over the training events; enough that the training does not end before the last kill."""
    latest_kill: float = 2.0
    """Seconds after a new checkpoint within which a process is killed."""
    seed: int = 0
    """Seed of the moments and of the victims."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Kills, wall time and validation metric of a finished training."""

    victims: Counter[str]
    """Number of kills by the role of the killed process; `all` where all were killed at once."""
    seconds: float
    """Wall time of all attempts."""
    metric: float
    """Of the validation, of the model that is kept."""


def main(arguments: Arguments) -> None:
    """Prints a line for each kind of cluster."""
    print(f"{'processes':<10}{'kills':>6}{'seconds':>9}{'undisturbed':>13}{METRIC:>10}{'undisturbed':>17}  killed")
    with TemporaryDirectory() as root:
        for cluster in arguments.clusters:
            calm = [
                trained(Path(root) / f"{cluster}-{number}", cluster, 0, arguments)
                for number in range(arguments.undisturbed)
            ]
            shaken = trained(Path(root) / f"{cluster}-shaken", cluster, arguments.kills, arguments)
            seconds, metrics = median(each.seconds for each in calm), sorted(each.metric for each in calm)
            print(
                f"{cluster:<10}{shaken.victims.total():>6}{shaken.seconds:>9.0f}{seconds:>13.0f}{shaken.metric:>10.5f}"
                f"{' to '.join(f'{each:.5f}' for each in dict.fromkeys((metrics[0], metrics[-1]))):>17}  "
                f"{', '.join(f'{name} {count}' for name, count in sorted(shaken.victims.items()))}",
                flush=True,
            )


def trained(folder: Path, cluster: str, kills: int, arguments: Arguments) -> Outcome:
    """A training by such a cluster that is killed so often, by its end.

    Raises:
        RuntimeError: An attempt failed by itself.
    """
    stack, command = _prepared(folder, cluster, arguments)
    chance, started, victims = random.Random(arguments.seed), time.monotonic(), Counter[str]()
    is_finished = False
    while not is_finished:
        left = kills - victims.total()
        victims_of_attempt, is_finished = _attempt(command, stack, chance, left, arguments.latest_kill)
        victims.update(victims_of_attempt)
    (run,) = stack.layout.runs.all()
    metric = read_manifest(run.stage("retrieval").manifest, "run").metrics[METRIC]
    return Outcome(victims=victims, seconds=time.monotonic() - started, metric=float(metric))


def _attempt(
    command: list[str], stack: StackConfig, chance: random.Random, kills: int, latest: float
) -> tuple[list[str], bool]:
    """Runs the command and kills at most so many processes of it; returns which, and whether it reached its end."""
    victims: list[str] = []
    with TemporaryFile() as log:
        job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)
        while len(victims) < kills and _is_due(job, stack, chance, latest):
            victim, goes_on = _kill_one_of(job, chance)
            victims.append(victim)
            if not goes_on:
                job.wait()
                return victims, False
        if job.wait():
            log.seek(0)
            raise RuntimeError(log.read().decode()[-2000:])
    return victims, True


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


def _kill_one_of(job: "subprocess.Popen[bytes]", chance: random.Random) -> tuple[str, bool]:
    """Kills one process, or all of them at once; returns which, and whether the training can go on without it."""
    roles = {process: role for process in psutil.Process(job.pid).children() if (role := _role(process))}
    victim = chance.choice([None, *roles])
    if victim is None:
        os.killpg(job.pid, signal.SIGKILL)
        return "all", False
    victim.kill()
    has_servers = "ps" in roles.values()
    return roles[victim], has_servers and roles[victim] == "worker" and list(roles.values()).count("worker") > 1


def _role(process: psutil.Process) -> str | None:
    """Role of a process in `TF_CONFIG`, such as `worker` or `ps`; None for one that has ended."""
    with suppress(psutil.Error):
        if process.status() != psutil.STATUS_ZOMBIE and "TF_CONFIG" in (environment := process.environ()):
            return str(json.loads(environment["TF_CONFIG"])["task"]["type"])
    return None


def _checkpoints(stack: StackConfig) -> set[tuple[str, int]]:
    """Names and times of the checkpoints that the training could go on from."""
    found = set()
    for run in stack.layout.runs.all():
        for path in run.stage("retrieval").last_checkpoints.glob("*.index"):
            with suppress(FileNotFoundError):
                found.add((path.name, path.stat().st_mtime_ns))
    return found


def _prepared(folder: Path, cluster: str, arguments: Arguments) -> tuple[StackConfig, list[str]]:
    folder.mkdir()
    make_events(folder / "events.parquet", arguments.events)
    text = CONFIG.replace("EVENTS", str(folder / "events.parquet")).replace("WORKDIR", str(folder / "work"))
    config = folder / "chaos.toml"
    config.write_text(text.replace("patience = 0", f"patience = 0\nepochs = {arguments.epochs}"), encoding="utf-8")
    stack = parse_config(config.read_text("utf-8"))
    stages.prepare(stack)
    command = [sys.executable, "-m", "recstack", "train", "retrieval", "--config", str(config)]
    return stack, [*command, *CLUSTERS[cluster]]


if __name__ == "__main__":
    main(tyro.cli(Arguments))
