"""Examples a second of one process and of several that train together, and what their communication takes, in one run.

    .venv/bin/python benchmarks/processes.py

Each line is a training of retrieval (histories of 20 items, 64 components, batches of 4,096, 1,024 uniform negatives,
Adagrad) on a million generated events of 10,000 items, with the input, model and step of `recstack train`.
Communication is what a step takes longer than in processes that know nothing of each other, side by side, on as much
work as each of those that train together has: half of every batch with `multi_worker_mirrored`, whole batches with
`parameter_server`, which is a server and a coordinator more. It includes the time that one waits for another. All
processes share the cores of this machine, so that two are hardly faster than one that uses all of them.
"""

import features as features  # selects Keras 2, so it comes before TensorFlow

# isort: split
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import tyro
from memory import dataset_of, stack_of

from features.disk.layout import RunLayout
from recstack.launch import server_configs, worker_config
from recstack.local_server import free_port
from trainer.config.training import OptimizerConfig, StrategyName
from trainer.data.batches import Batch
from trainer.data.encoded_dataset import encode_dataset
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import plan_training
from trainer.training.cluster import Cluster, make_cluster
from trainer.training.loop import TrainingPlan, TrainingState, batches_of, make_step
from trainer.training.stage import StageContext

BATCH, DIMENSION, EVENTS = 4096, 64, 1_000_000
_UNTIMED_STEPS = 20


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """Processes that are measured side by side."""

    strategy: StrategyName = "default"
    """Strategy of all processes; with `default` each trains a model of its own."""
    workers: int = 1
    """Processes that make steps."""
    servers: int = 0
    """Parameter servers."""
    batch_size: int = BATCH
    """Examples of a step."""
    alone: str = ""
    """The arrangement with the same work a process and no communication; none for one without any."""


ARRANGEMENTS: Mapping[str, Arrangement] = {
    "one process": Arrangement(),
    "two apart, half of a batch each": Arrangement(workers=2, batch_size=BATCH // 2),
    "two together, multi_worker_mirrored": Arrangement(
        strategy="multi_worker_mirrored", workers=2, alone="two apart, half of a batch each"
    ),
    "two apart, whole batches": Arrangement(workers=2),
    "two and a server, parameter_server": Arrangement(
        strategy="parameter_server", workers=2, servers=1, alone="two apart, whole batches"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments."""

    steps: int = 150
    """Steps timed."""
    folder: Path | None = None
    """Where the dataset is kept; by default it is removed."""
    one: str | None = None
    """Measure a process of this arrangement, on the dataset in `folder`, and print examples a second."""


def main(arguments: Arguments) -> None:
    """Prints a line for each arrangement."""
    if arguments.one is not None:
        assert arguments.folder is not None, "--one needs --folder"
        print(measured(arguments.folder, ARRANGEMENTS[arguments.one], arguments.steps), flush=True)
        return
    print(f"{'':<38}{'processes':>9}{'examples/s':>12}{'communication':>15}")
    rates: dict[str, float] = {}
    with TemporaryDirectory() as temporary:
        folder = dataset_of(EVENTS, arguments.folder or Path(temporary), EVENTS)
        for name, each in ARRANGEMENTS.items():
            rates[name] = _rate(name, each, folder, arguments.steps)
            share = f"{max(0.0, 1 - rates[name] / rates[each.alone]):.0%}" if each.alone else ""
            processes = len(environments(each))
            print(f"{name:<38}{processes:>9}{rates[name]:>12,.0f}{share:>15}", flush=True)


def _rate(name: str, arrangement: Arrangement, folder: Path, steps: int) -> float:
    """Examples a second of all processes, which begin to be timed at the same moment."""
    command = [sys.executable, __file__, "--one", name, "--folder", str(folder), "--steps", str(steps)]
    with TemporaryFile() as log:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log, "text": True}
        processes = [
            subprocess.Popen(command, env=os.environ | environment, **pipes)
            for environment in environments(arrangement)
        ]
        try:
            # The others of parameter servers serve until they are ended.
            found = _measured_together(processes[:1] if arrangement.servers else processes)
        except (ValueError, OSError) as error:  # one of them has ended
            log.seek(0)
            raise RuntimeError(log.read().decode()[-2000:]) from error
        finally:
            for process in processes:
                process.kill()
                process.communicate()
    return sum(found) if arrangement.strategy == "default" else found[0]


def _measured_together(processes: Sequence["subprocess.Popen[str]"]) -> list[float]:
    """Examples a second that each process prints, after all of them have compiled and begin at the same moment."""
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [float(process.stdout.readline()) for process in processes]


def environments(arrangement: Arrangement) -> list[dict[str, str]]:
    """Environment of each process, with its `TF_CONFIG`; that of the coordinator or of the chief comes first."""
    if arrangement.strategy == "default":
        return [{}] * arrangement.workers
    has_servers = arrangement.strategy == "parameter_server"
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(arrangement.workers + arrangement.servers + has_servers)]
    configs = (
        server_configs(addresses, arrangement.servers)
        if has_servers
        else [worker_config(addresses, index) for index in range(len(addresses))]
    )
    return [{"TF_CONFIG": config} for config in configs]


def measured(folder: Path, arrangement: Arrangement, steps: int) -> float:
    """Examples a second of this process, or of all that train together."""
    stack, cluster = stack_of(folder), make_cluster(arrangement.strategy)
    context = StageContext(
        schema=stack.features, dataset=stack.layout.dataset, run=RunLayout(folder / "run"), cluster=cluster
    )
    optimizer = OptimizerConfig(kind="adagrad")
    config = replace(stack.retrieval, dimension=DIMENSION, batch_size=arrangement.batch_size, optimizer=optimizer)
    plan = plan_training(context, RetrievalStage(config=config), encode_dataset(context.schema, context.dataset))
    step, batches = make_step(plan, TrainingState(cluster)), _batches(plan, cluster)
    for batch in islice(batches, _UNTIMED_STEPS):
        step(batch)
    cluster.finish_steps()
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.monotonic()
    for batch in islice(batches, steps):
        step(batch)
    cluster.finish_steps()
    return steps * arrangement.batch_size / (time.monotonic() - started)


def _batches(plan: TrainingPlan, cluster: Cluster) -> Iterator[Batch]:
    """Those of one epoch after the other, as the training loop has them."""
    for epoch in range(sys.maxsize):
        for section in plan.examples.sections(epoch, 0):
            yield from batches_of(cluster, section)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
