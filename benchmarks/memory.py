"""Memory and speed of a training by the number of events, held in memory and streamed from disk, in one run.

    .venv/bin/python benchmarks/memory.py                                                  # 1 million events
    .venv/bin/python benchmarks/memory.py --events 10_000_000 30_000_000 --workers 1 2     # growth; takes minutes
    .venv/bin/python benchmarks/memory.py --events 100_000_000 --inputs stream --steps 0   # a whole epoch; an hour

Each row is a training of retrieval (histories of 20 items, 32 components, batches of 4,096, 1,024 uniform negatives) in
processes of its own. `loading` is what the peak of a process's memory grows by from the moment the libraries are
imported until the first step, `training` until the last one; tables and optimizer are part of both. With several
processes, that of the largest one counts. Examples a second count from the tenth step on, with the reading of all
blocks that follow, over all processes.

`recstack prepare` runs on generated events, `--prepared` of them at most. A larger log has each shard several times,
by hard links: as many users more, who do what those of the first copy did. The model does not know users by their id,
so it sees that many events, while items, tables and validation stay those of the first copy.
"""

import features as features  # selects Keras 2, so it comes before TensorFlow

# isort: split
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import tensorflow as tf
import tyro
from prepare import make_events

from features.disk.layout import RunLayout
from features.disk.shards import shard_name, shards
from recstack import stages
from recstack.config import StackConfig, parse_config
from recstack.launch import worker_config
from recstack.local_server import free_port
from trainer.config.training import InputKind, TrainingConfig
from trainer.data.encoded_dataset import encode_dataset
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import plan_training
from trainer.training.cluster import make_cluster
from trainer.training.loop import TrainingState, batches_of, make_step
from trainer.training.stage import StageContext

GENERATED = """
workdir = "WORKDIR"

[[features.query]]
kind = "history"
length = 20

[[features.candidate]]
kind = "id"
name = "item_id"

[pipeline]
report = false

[pipeline.split]
validation = 0.01
test = 0.01

[pipeline.interactions]
path = "EVENTS"

[retrieval]
dimension = 32
batch_size = 4096

[retrieval.negatives]
kind = "uniform"
num_negatives = 1024
"""
_UNTIMED_STEPS = 10


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments: numbers of events, inputs and processes, size of a block and steps to time."""

    events: tuple[int, ...] = (1_000_000,)
    """Events of the log, 98 in a hundred of which are for training; at least 50,000."""
    prepared: int = 10_000_000
    """Events that are prepared at most; larger logs are multiples of it."""
    inputs: tuple[InputKind, ...] = ("memory", "stream")
    """Where the training events are."""
    workers: tuple[int, ...] = (1,)
    """Processes that train together on streamed events."""
    block_events: int = 1_000_000
    """Events of a block when they are streamed."""
    steps: int = 400
    """Steps timed, at most: an epoch of the training may have fewer. 0 times a whole epoch."""
    folder: Path | None = None
    """Where datasets are kept, so that several calls share them; by default they are removed."""
    one: InputKind | None = None
    """Measure this in this process, on the dataset in `folder`, and print JSON."""


def main(arguments: Arguments) -> None:
    """Prints a line for each number of events, kind of input and number of processes."""
    if arguments.one is not None:
        assert arguments.folder is not None, "--one needs --folder"
        print(json.dumps(measured(arguments.folder, arguments)))
        return
    print(
        f"{'events':>12}  {'input':<8}{'processes':>9}{'MiB loading':>13}{'MiB training':>14}{'s to first step':>17}",
        end="",
    )
    print(f"{'steps':>8}{'examples/s':>12}", flush=True)
    with TemporaryDirectory() as temporary:
        for events in arguments.events:
            folder = dataset_of(events, arguments.folder or Path(temporary), arguments.prepared)
            rows = [
                _row(folder, events, (kind, workers), arguments)
                for kind in arguments.inputs
                for workers in (arguments.workers if kind == "stream" else (1,))
            ]
            if arguments.inputs == ("memory", "stream") and arguments.workers[0] == 1:
                print(f"{'':>12}  streamed at {rows[1] / rows[0]:.2f} of the rate in memory", flush=True)


def dataset_of(events: int, root: Path, prepared: int) -> Path:
    """A folder with the dataset of so many events, which is made unless it is there.

    Raises:
        ValueError: A log larger than `prepared` is no multiple of it.
    """
    folder = root / f"{events}"
    if (folder / "work" / "dataset" / "manifest.json").exists():
        return folder
    folder.mkdir(parents=True)
    if events <= prepared:
        make_events(folder / "events.parquet", events)
        stages.prepare(stack_of(folder))
        return folder
    if events % prepared:
        raise ValueError(f"--events {events}: a multiple of --prepared {prepared} expected")
    _repeat(dataset_of(prepared, root, prepared) / "work" / "dataset", folder / "work" / "dataset", events // prepared)
    return folder


def _repeat(dataset: Path, target: Path, copies: int) -> None:
    """Another dataset with each training shard several times; all files are links to those of the first one."""
    for file in (file for file in dataset.rglob("*") if file.is_file()):
        link = target / file.relative_to(dataset)
        link.parent.mkdir(parents=True, exist_ok=True)
        if file.parent != dataset / "train":
            os.link(file, link)
    files = shards(dataset / "train")
    for number in range(copies * len(files)):
        os.link(files[number % len(files)], target / "train" / shard_name(number, copies * len(files)))


def _row(folder: Path, events: int, cell: tuple[InputKind, int], arguments: Arguments) -> float:
    """Prints the row of an input and a number of processes, and returns its examples a second."""
    kind, workers = cell
    command = [sys.executable, __file__, "--one", kind, "--folder", str(folder)]
    command += ["--steps", str(arguments.steps), "--block-events", str(arguments.block_events)]
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(workers)]
    with TemporaryFile() as log:
        processes = [
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | ({"TF_CONFIG": worker_config(addresses, index)} if workers > 1 else {}),
            )
            for index in range(workers)
        ]
        printed = [process.communicate()[0] for process in processes]
        if any(process.returncode for process in processes):
            log.seek(0)
            raise RuntimeError(log.read().decode()[-2000:])
    found = [json.loads(text) for text in printed]
    loading, training = (max(each[name] for each in found) for name in ("loading", "training"))
    print(
        f"{events:>12,}  {kind:<8}{workers:>9}{loading:>13,.0f}{training:>14,.0f}{found[0]['seconds']:>17,.1f}"
        f"{found[0]['steps']:>8,.0f}{found[0]['rate']:>12,.0f}",
        flush=True,
    )
    return float(found[0]["rate"])


def stack_of(folder: Path) -> StackConfig:
    """The configuration for the events in the folder."""
    text = GENERATED.replace("EVENTS", str(folder / "events.parquet")).replace("WORKDIR", str(folder / "work"))
    return parse_config(text)


def measured(folder: Path, arguments: Arguments) -> dict[str, float]:
    """MiB and seconds until the first step, MiB until the last one, and examples a second."""
    stack = stack_of(folder)
    cluster = make_cluster("multi_worker_mirrored" if "TF_CONFIG" in os.environ else "default")
    tf.constant(0)  # the runtime's own memory
    before, started = peak_memory(), time.monotonic()
    with TemporaryDirectory(dir=folder) as scratch:
        context = StageContext(
            schema=stack.features,
            dataset=stack.layout.dataset,
            run=RunLayout(Path(scratch) / "run"),
            cluster=cluster,
            training=TrainingConfig(block_events=arguments.block_events),
            events=Path(scratch) / "events" if arguments.one == "stream" else None,
        )
        dataset = encode_dataset(context.schema, context.dataset)
        plan = plan_training(context, RetrievalStage(config=stack.retrieval), dataset)
        step = make_step(plan, TrainingState())
        loading, times = peak_memory() - before, []
        batches = (batch for section in plan.examples.sections(0, 0) for batch in batches_of(cluster, section))
        for batch in islice(batches, _UNTIMED_STEPS + arguments.steps if arguments.steps else None):
            step(batch)
            times.append(time.monotonic())
    timed = times[_UNTIMED_STEPS:]
    rate = (len(timed) - 1) * stack.retrieval.batch_size / (timed[-1] - timed[0])
    found = {"loading": loading, "training": peak_memory() - before, "seconds": times[0] - started}
    return found | {"steps": len(times), "rate": rate}


def peak_memory(process: int | None = None) -> float:
    """MiB that a process, by default this one, has held at most.

    Unlike `ru_maxrss`, it does not begin with that of the parent.
    """
    status = Path(f"/proc/{process or 'self'}/status").read_text("utf-8")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
