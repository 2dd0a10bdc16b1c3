"""Memory and speed of a training by the number of events, held in memory and streamed from disk, in one run.

    .venv/bin/python benchmarks/memory.py                                  # 1 million events
    .venv/bin/python benchmarks/memory.py --events 1_000_000 10_000_000    # growth; takes minutes

Each row is a process of its own that trains retrieval (histories of 20 items, 32 components, batches of 4,096, 1,024
uniform negatives) on generated events. `loading` is what the peak of its memory grows by from the moment the libraries
are imported until the first step, `training` until the last one; tables and optimizer are part of both. Examples a
second count from the tenth step on, with the reading of all blocks that follow.
"""

import features as features  # selects Keras 2, so it comes before TensorFlow

# isort: split
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import tensorflow as tf
import tyro
from prepare import make_events

from features.disk.layout import RunLayout
from recstack import stages
from recstack.config import StackConfig, parse_config
from trainer.config.training import InputKind, TrainingConfig
from trainer.data.encoded_dataset import encode_dataset
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import plan_training
from trainer.training.loop import TrainingState, make_step
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
_INPUTS: tuple[InputKind, ...] = ("memory", "stream")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments: numbers of events, size of a block and steps to time."""

    events: tuple[int, ...] = (1_000_000,)
    """Generated events, of which training has seven tenths."""
    block_events: int = 1_000_000
    """Events of a block when they are streamed."""
    steps: int = 400
    """Steps timed, at most: an epoch of the training may have fewer."""
    folder: Path | None = None
    """With `one`: where the dataset is."""
    one: InputKind | None = None
    """Measure this in this process and print JSON."""


def main(arguments: Arguments) -> None:
    """Prints a line for each number of events and kind of input."""
    if arguments.one is not None:
        assert arguments.folder is not None, "--one needs --folder"
        print(json.dumps(measured(arguments.folder, arguments)))
        return
    print(
        f"{'events':>12}  {'input':<8}{'MiB loading':>12}{'MiB training':>14}{'s to first step':>17}{'examples/s':>13}"
    )
    for events in arguments.events:
        with TemporaryDirectory() as folder:
            make_events(Path(folder) / "events.parquet", events)
            stages.prepare(stack_of(Path(folder)))
            rates = [_row(Path(folder), events, kind, arguments) for kind in _INPUTS]
        print(f"{'':>12}  streamed at {rates[1] / rates[0]:.2f} of the rate in memory", flush=True)


def _row(folder: Path, events: int, kind: InputKind, arguments: Arguments) -> float:
    command = [sys.executable, __file__, "--one", kind, "--folder", str(folder)]
    command += ["--steps", str(arguments.steps), "--block-events", str(arguments.block_events)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    print(
        f"{events:>12,}  {kind:<8}{found['loading']:>12,.0f}{found['training']:>14,.0f}{found['seconds']:>17,.1f}"
        f"{found['rate']:>13,.0f}",
        flush=True,
    )
    return float(found["rate"])


def stack_of(folder: Path) -> StackConfig:
    """The configuration for the events in the folder."""
    text = GENERATED.replace("EVENTS", str(folder / "events.parquet")).replace("WORKDIR", str(folder / "work"))
    return parse_config(text)


def measured(folder: Path, arguments: Arguments) -> dict[str, float]:
    """MiB and seconds until the first step, MiB until the last one, and examples a second."""
    stack = stack_of(folder)
    tf.constant(0)  # the runtime's own memory
    before, started = _peak(), time.monotonic()
    context = StageContext(
        schema=stack.features,
        dataset=stack.layout.dataset,
        run=RunLayout(folder / f"run-{arguments.one}"),
        training=TrainingConfig(block_events=arguments.block_events),
        events=folder / "stored" if arguments.one == "stream" else None,
    )
    dataset = encode_dataset(context.schema, context.dataset)
    plan = plan_training(context, RetrievalStage(config=stack.retrieval), dataset)
    step = make_step(plan, TrainingState())
    loading, times = _peak() - before, []
    batches = (batch for section in plan.examples.sections(0, 0) for batch in section(tf.distribute.InputContext()))
    for batch in islice(batches, _UNTIMED_STEPS + arguments.steps):
        step(batch)
        times.append(time.monotonic())
    timed = times[_UNTIMED_STEPS:]
    rate = (len(timed) - 1) * stack.retrieval.batch_size / (timed[-1] - timed[0])
    return {"loading": loading, "training": _peak() - before, "seconds": times[0] - started, "rate": rate}


def _peak() -> float:
    """MiB that this process has held at most; unlike `ru_maxrss`, it does not begin with that of the parent."""
    status = Path("/proc/self/status").read_text("utf-8")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
