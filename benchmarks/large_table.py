"""Trains a table of millions of rows over parameter servers, exports it with an int8 index, loads that: memory of each.

    .venv/bin/python benchmarks/large_table.py                       # a million items; minutes
    .venv/bin/python benchmarks/large_table.py --items 10_000_000    # ten million rows of 64

A log in which every item occurs, so that each has a row of its own, goes through `recstack prepare`. Retrieval
(histories of 20 items, 64 components, batches of 4,096, 1,024 uniform negatives, Adagrad) is trained for some steps by
a coordinator, a worker and two servers, and exported by `recstack export` with a tree of hashed items whose int8
vectors give the scores. A fresh process loads the SavedModel and asks it. Memory is the most that a process held at
any time.
"""

import features as features  # selects Keras 2, so it comes before TensorFlow

# isort: split
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from memory import peak_memory

from recstack import stages
from recstack.config import StackConfig, parse_config
from recstack.launch import server_configs
from recstack.local_server import free_port
from trainer.data.batches import BatchPlan, EpochPlan
from trainer.data.events import EncodedEvents
from trainer.data.stored_events import StoredEvents
from trainer.evaluation.served import ServedModel, raw_queries
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import train_stage
from trainer.training.cluster import make_cluster
from trainer.training.runs import opened_stage
from trainer.training.stage import StageContext

CONFIG = """
workdir = "WORKDIR"
strategy = "parameter_server"

[[features.query]]
kind = "history"
length = 20

[[features.candidate]]
kind = "id"
name = "item_id"

[pipeline]
report = false

[pipeline.split]
validation = 0.0
test = 0.001

[pipeline.interactions]
path = "EVENTS"

[retrieval]
dimension = 64
batch_size = 4096
epochs = 1

[retrieval.negatives]
kind = "uniform"
num_negatives = 1024

[retrieval.optimizer]
kind = "adagrad"

[index]
kind = "scann_tree"
precision = "int8"

[export]
models = ["retrieval"]
"""
Role = Literal["prepare", "train", "export", "load"]
_EVENTS_A_USER = 30


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments."""

    items: int = 1_000_000
    """Items of the catalogue; the log has a fifth more events."""
    steps: int = 50
    """Steps of the training."""
    servers: int = 2
    """Parameter servers."""
    folder: Path | None = None
    """Where dataset, run and SavedModel are kept; by default they are removed."""
    role: Role | None = None
    """Do this in this process, with what is in `folder`."""


@dataclass(frozen=True, kw_only=True)
class Few(RetrievalStage):
    """The retrieval stage on an epoch of a few steps."""

    steps: int = 50
    """Of the epoch."""

    def inputs(self) -> Mapping[str, str]:
        """Adds the number of steps."""
        return {**super().inputs(), "steps": str(self.steps)}

    def make_examples(self, events: EncodedEvents | StoredEvents, context: StageContext) -> EpochPlan:
        """The first batches of a usual epoch."""
        plan = super().make_examples(events, context)
        assert isinstance(plan, BatchPlan), "in memory"
        number = min(plan.num_examples, self.steps * plan.batch_size)
        return replace(plan, arrange=lambda generator: plan.arrange(generator)[:number], num_examples=number)


def main(arguments: Arguments) -> None:
    """Prints a line for each process."""
    if arguments.role is not None:
        assert arguments.folder is not None, "--role needs --folder"
        _ROLES[arguments.role](stack_of(arguments.folder), arguments)
        return
    with TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        make_log(folder / "events.parquet", arguments.items)
        for role in _ROLES:
            for line in _lines(role, folder, arguments):
                print(line, flush=True)


def make_log(path: Path, items: int) -> None:
    """Every item once, and a fifth of the events more about the first tenth of them, by users of thirty events."""
    generator = np.random.default_rng(0)
    rows = generator.permutation(np.concatenate([np.arange(items), generator.integers(0, items // 10, items // 5)]))
    users = generator.integers(0, max(1, len(rows) // _EVENTS_A_USER), len(rows))
    times = 1_735_689_600 + np.arange(len(rows)) // 10
    pq.write_table(pa.table({"user_id": users, "item_id": rows, "timestamp": times}), path)


def _lines(role: Role, folder: Path, arguments: Arguments) -> list[str]:
    """Lines of one role: what its process prints, and for `train` the peak memory of the worker and each server too."""
    command = [sys.executable, __file__, "--role", role, "--folder", str(folder)]
    command += ["--steps", str(arguments.steps)]
    if role != "train":
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    names = ["coordinator", "worker", *(f"server {number}" for number in range(arguments.servers))]
    configs = server_configs([f"127.0.0.1:{free_port()}" for _ in names], arguments.servers)
    processes = [
        subprocess.Popen(
            command,
            env=os.environ | {"TF_CONFIG": config},
            stdout=subprocess.PIPE,
            stderr=None if place == 0 else subprocess.DEVNULL,
            text=True,
        )
        for place, config in enumerate(configs)
    ]
    try:
        printed = processes[0].stdout.read().splitlines() if processes[0].stdout else []
        if processes[0].wait():
            raise subprocess.CalledProcessError(processes[0].returncode, command)
        others = zip(names[1:], processes[1:], strict=True)
        return printed + [f"{name:<24}{peak_memory(process.pid):>10,.0f} MiB" for name, process in others]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def stack_of(folder: Path) -> StackConfig:
    """The configuration for the log in the folder."""
    text = CONFIG.replace("EVENTS", str(folder / "events.parquet")).replace("WORKDIR", str(folder / "work"))
    return parse_config(text)


def prepare(stack: StackConfig, arguments: Arguments) -> None:
    """Makes the dataset."""
    started = time.monotonic()
    stages.prepare(stack)
    _print("prepare", started)


def train(stack: StackConfig, arguments: Arguments) -> None:
    """Makes the steps, as the coordinator; a worker or a server serves here until it is ended."""
    cluster = make_cluster("parameter_server")
    started, run = time.monotonic(), stages.own_run(stack)
    stage = Few(config=stack.retrieval, evaluation=stack.evaluation, steps=arguments.steps)
    context = stages.stage_context(stack, run, cluster=cluster)
    with opened_stage(stack.layout.runs, run, "retrieval", {}, cluster):
        train_stage(context, stage)
    stages.make_run_current(stack)
    _print(f"coordinator, {arguments.steps} steps", started)


def export(stack: StackConfig, arguments: Arguments) -> None:
    """Publishes the model with its index."""
    started = time.monotonic()
    exported = stages.export(stack, progress=print)
    _print("export", started)
    print(f"{'SavedModel':<24}{exported[0].num_bytes / 2**20:>10,.0f} MiB on disk")


def load(stack: StackConfig, arguments: Arguments) -> None:
    """Loads what was published, and asks for the best items after a history of two."""
    started = time.monotonic()
    layout = stack.layout.model("retrieval")
    assert layout.current is not None, "published before"
    model = ServedModel("retrieval", layout.version(layout.current))
    _print("load", started)
    queries = raw_queries(stack.features, stack.layout.dataset, "test")
    queries = queries.take(np.arange(min(100, len(queries))))
    asked = time.monotonic()
    answers = model.top_k(queries, 10, exclude_seen=False)
    assert np.isfinite(answers.scores).all(), "an index that loads has scores"
    print(f"{f'{len(queries)} answers':<24}{1000 * (time.monotonic() - asked):>10,.0f} ms")


def _print(name: str, started: float) -> None:
    print(f"{name:<24}{peak_memory():>10,.0f} MiB{time.monotonic() - started:>9.0f} s", flush=True)


_ROLES = {"prepare": prepare, "train": train, "export": export, "load": load}


if __name__ == "__main__":
    main(tyro.cli(Arguments))
