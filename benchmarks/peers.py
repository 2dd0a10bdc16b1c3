"""Time and memory to equal quality, beside SASRec of RecTools, ALS and BPR of implicit, and the TFRS guide's model.

    .venv/bin/python benchmarks/peers.py --config configs/beauty.toml --environment ENVIRONMENT
    .venv/bin/python benchmarks/peers.py --config configs/gowalla.toml --validation 0.079 --peers guide \
        --quality recall --cutoff 20 \
        --variant 'retrieval.dimension=64; retrieval.negatives.kind="uniform"; retrieval.epochs=2'

Each system trains in a process of its own, one after the other, on the same cores and the same training split. Its
ranked lists of the same queries over the same catalogue, items of the history left out, are judged here by the same
code. A clock starts with the process, so that loading libraries and data counts; it stands still while an epoch's model
answers the test queries and while a baseline is tuned, as the tuning of the configuration is not counted either.

RecTools has an environment of its own, made where `--environment` says and used again the next time. PyTorch comes as
the package index has it: with CUDA, six gigabytes, and a larger process than the CPU needs.
"""

import json
import os
import pickle
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias

import numpy as np
import tyro
from ablation import changed
from peers_plot import plot_courses
from rich.console import Console
from rich.table import Table

from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import Split, Workdir
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import RecstackError
from features.spec.history import HistoryFeature
from recstack.config import StackConfig, load_config
from trainer.data.catalogue import load_catalogue
from trainer.data.events import load_events
from trainer.evaluation.queries import evaluation_set, training_interactions, training_users
from trainer.metrics.lists import query_metrics
from trainer.metrics.protocol import EvaluationSet, Interactions

PINNED = ("rectools[torch]==0.19.0", "torch==2.15.0", "pytorch-lightning==2.5.2", "numpy==1.26.4", "pandas==2.3.3")
FOLDER = Path(__file__).parent
System = Literal["recstack", "als", "bpr", "guide", "sasrec", "esasrec"]
OF_RECTOOLS: tuple[System, ...] = ("sasrec", "esasrec")
Queries: TypeAlias = dict[Split, EvaluationSet]
Ending: TypeAlias = Literal["by itself", "no longer better", "out of time"]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is compared."""

    config: Path
    """Configuration of recstack's side; its tables, split and history length are everyone's."""
    environment: Path | None = None
    """Folder of RecTools' virtual environment, made if it is not there; none makes a temporary one."""
    peers: tuple[System, ...] = ("als", "bpr", "esasrec")
    """What recstack is compared with: settings of `peers_sasrec.py`, baselines, or the TFRS guide's model."""
    variant: str = ""
    """TOML assignments, apart by `;`, laid over the configuration."""
    validation: float | None = None
    """Share of the events to validate with, in place of the configured one."""
    quality: Literal["ndcg", "recall"] = "ndcg"
    """What validation compares, and what equal quality means."""
    cutoff: Literal[10, 20, 100] = 10
    """Length of the ranked lists."""
    peer_minutes: float = 15.0
    """A peer is stopped at the end of the epoch in which it has taken so long."""
    patience: int = 5
    """A peer is stopped after so many epochs without a better validation."""
    factors: int = 64
    """Components of SASRec's vectors."""
    cores: int | None = None
    """CPU cores for each system; none gives all of this process."""
    seed: int = 0
    """Of every training."""
    plot: Path | None = None
    """SVG file of the validation over the seconds; none draws nothing."""

    @property
    def metric(self) -> str:
        """The metric that validation compares."""
        return f"{self.quality}@{self.cutoff}"

    @property
    def shown(self) -> tuple[str, str]:
        """Metrics of the test queries."""
        return f"recall@{self.cutoff}", f"ndcg@{self.cutoff}"


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What a system told at an epoch's end."""

    seconds: float
    """Since its process was started, without what is not timed."""
    cpu_seconds: float
    """Of all its threads, likewise."""
    validation: float
    """The metric of the validation queries."""
    peak_bytes: int
    """The most memory that its process has had so far."""
    lists: Path | None
    """File of its ranked lists."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """A training from the start of its process to its end."""

    epochs: tuple[Epoch, ...]
    """In order, at least one."""
    ended: Ending
    """Why there was no further epoch."""
    kept: Path | None = None
    """File of the kept model's ranked lists, if it told; else those of the best epoch count."""

    @property
    def best(self) -> Epoch:
        """The first of the epochs that validation likes best."""
        return max(self.epochs, key=lambda epoch: epoch.validation)

    @property
    def lists(self) -> Path:
        """File of the ranked lists that the system is judged by."""
        lists = self.kept or self.best.lists
        assert lists is not None
        return lists

    def first_with(self, validation: float) -> Epoch | None:
        """The first epoch with a validation at least so good; None if there was none."""
        return next((epoch for epoch in self.epochs if epoch.validation >= validation), None)


def main(arguments: Arguments) -> None:
    """Prepares the data, trains one system after the other, and prints the table."""
    if arguments.plot is not None:
        plot_courses({}, arguments.metric, arguments.plot)  # a path that cannot be written fails now, not in an hour
    stack = changed(load_config(arguments.config), arguments.variant, arguments.validation)
    if arguments.cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    with TemporaryDirectory() as name:
        folder = Path(name)
        python = folder
        if set(arguments.peers) & set(OF_RECTOOLS):
            python = peer_python(arguments.environment or folder / "environment")
        (folder / "config.toml").write_text(stack.to_toml())
        queries = write_data(stack, folder)
        judge = judging(queries, arguments.cutoff)
        rows: dict[System, tuple[Course, dict[str, float]]] = {}
        for system in ("recstack", *arguments.peers):
            limit, patience = (
                (None, None) if system == "recstack" else (arguments.peer_minutes * 60, arguments.patience)
            )
            command = command_of(system, arguments, stack, folder, python)
            print(f"{system}: validation {arguments.metric} after each epoch", flush=True)
            course = run(
                command, lambda path: judge(path, "validation", arguments.metric), limit=limit, patience=patience
            )
            rows[system] = course, {metric: judge(course.lists, "test", metric) for metric in arguments.shown}
            print(system, rows[system][1], f"{course.best.seconds:.0f} s", course.ended, flush=True)
    show(arguments, rows)
    if arguments.plot is not None:
        courses = {
            system: [(epoch.seconds, epoch.validation) for epoch in course.epochs]
            for system, (course, _) in rows.items()
        }
        plot_courses(courses, arguments.metric, arguments.plot)


def peer_python(environment: Path) -> Path:
    """The interpreter of RecTools' environment, which is made if it is not there."""
    python = environment / "bin" / "python"
    complete = environment / "complete"
    if not complete.exists():
        venv.EnvBuilder(with_pip=True, clear=environment.exists()).create(environment)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-cache-dir", *PINNED], check=True)
        complete.touch()
    return python


def write_data(stack: StackConfig, folder: Path) -> Queries:
    """Prepares the dataset, writes its training events and queries for the systems, and returns the queries."""
    workdir, schema = Workdir(folder / "work"), stack.features
    prepare_dataset(schema, stack.pipeline, workdir.dataset, seed=stack.seed, progress=lambda message: None)
    encoder = SchemaEncoder(schema, workdir.dataset)
    candidates = load_catalogue(workdir.dataset, encoder)
    rows = candidates.rows()
    has_user = schema.user_id in {feature.name for feature in schema.query}
    first_user = encoder.lookup(schema.user_id).vocabulary.first_token_index if has_user else 0
    train = load_events(workdir.dataset.interactions("train"), encoder, rows, records="retrieval")
    users = training_users(train, schema, first_user)
    interactions = training_interactions([train], schema, first_user, len(candidates))
    queries: Queries = {}
    asked_at = {}
    splits: tuple[Split, ...] = ("validation", "test")
    for split in splits:
        events = load_events(workdir.dataset.interactions(split), encoder, rows, records="retrieval")
        queries[split], asked_at[split] = evaluation_set(events, schema, users, first_user, len(candidates))
    (folder / "data.pickle").write_bytes(pickle.dumps((interactions, queries, asked_at)))
    np.savez(folder / "data.npz", **as_arrays(interactions, queries))
    return queries


def as_arrays(interactions: Interactions, queries: Queries) -> dict[str, Any]:
    """Training events and histories as plain arrays: what `peers_sasrec.py` reads. Targets stay here."""
    arrays = {
        "train_users": interactions.user_rows,
        "train_items": interactions.item_rows,
        "train_seconds": interactions.timestamps,
    }
    for split, asked in queries.items():
        arrays[f"{split}_lengths"] = asked.history.lengths
        arrays[f"{split}_items"] = asked.history.values
        arrays[f"{split}_seconds"] = asked.history_timestamps
    return arrays


def judging(queries: Queries, cutoff: int) -> Callable[[Path, Split, str], float]:
    """A function of a file of ranked lists, a split and a metric."""

    def judge(path: Path, split: Split, metric: str) -> float:
        with np.load(path) as lists:
            return float(query_metrics(lists[split], queries[split].targets, [cutoff])[metric].mean())

    return judge


def command_of(system: System, arguments: Arguments, stack: StackConfig, folder: Path, python: Path) -> list[str]:
    """The command that trains the system and prints a JSON line an epoch."""
    if system not in OF_RECTOOLS:
        own = [system, folder, arguments.quality, arguments.cutoff, arguments.seed]
        return [sys.executable, str(FOLDER / "peers_systems.py"), *map(str, own)]
    history = next(feature.length for feature in stack.features.query if isinstance(feature, HistoryFeature))
    options = {"factors": arguments.factors, "history": history, "cutoff": arguments.cutoff, "seed": arguments.seed}
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [str(python), "-I", str(FOLDER / "peers_sasrec.py"), str(folder / "data.npz"), system, *flags]


def run(command: Sequence[str], judge: Callable[[Path], float], *, limit: float | None, patience: int | None) -> Course:
    """Runs a system until it ends by itself, is out of time or has not become better for some epochs.

    Args:
        command: prints one JSON object an epoch: `untimed` seconds so far, `cpu` seconds, `peak` bytes, and `lists`, a
            file, or its own `validation`; in that case last `kept`, the file of the model that it keeps.
        judge: quality of the validation lists of such a file.
        limit: seconds after which no further epoch is waited for.
        patience: epochs without a better validation after which none is.

    Raises:
        RecstackError: it failed, or told of no epoch.
    """
    epochs: list[Epoch] = []
    ended: Ending = "by itself"
    kept = None
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for told in map(json.loads, process.stdout or ()):
            if "kept" in told:
                kept = Path(told["kept"])
                continue
            seconds = time.monotonic() - started - told["untimed"]
            lists = Path(told["lists"]) if "lists" in told else None
            validation = told["validation"] if lists is None else judge(lists)
            epoch = Epoch(
                seconds=seconds,
                cpu_seconds=told["cpu"],
                validation=validation,
                peak_bytes=told["peak"],
                lists=lists,
            )
            epochs.append(epoch)
            print(f"  {seconds:.0f} s, {epoch.cpu_seconds:.0f} CPU s: {validation:.4f}", flush=True)
            if limit is not None and seconds >= limit:
                ended = "out of time"
            elif patience is not None and is_stale(epochs, patience):
                ended = "no longer better"
            if ended != "by itself":
                process.terminate()
                break
    if not epochs or (ended == "by itself" and process.returncode != 0):
        raise RecstackError(f"{' '.join(command)}: ended with {process.returncode} after {len(epochs)} epochs")
    return Course(epochs=tuple(epochs), ended=ended, kept=kept)


def is_stale(epochs: Sequence[Epoch], patience: int) -> bool:
    """Whether none of the last `patience` epochs is better than all before them."""
    earlier = epochs[:-patience]
    return bool(earlier) and max(epoch.validation for epoch in earlier) >= max(
        epoch.validation for epoch in epochs[-patience:]
    )


def show(arguments: Arguments, rows: dict[System, tuple[Course, dict[str, float]]]) -> None:
    """One row a system, recstack's first."""
    cores = len(os.sched_getaffinity(0))
    name = f"{arguments.config} {arguments.variant}".strip()
    table = Table(title=f"{name}: {cores} cores, seen items left out{versions(arguments)}")
    headings = (
        "system",
        "epochs",
        "ended",
        "s (CPU s) to its best",
        "s (CPU s) in all",
        "peak MiB",
        f"validation {arguments.metric}",
    )
    for heading in (
        *headings,
        *(f"test {metric}" for metric in arguments.shown),
        "s (CPU s) until recstack is as good",
    ):
        table.add_column(heading)
    ours, _ = rows["recstack"]
    for system, (course, metrics) in rows.items():
        best, last = course.best, course.epochs[-1]
        reached = ours.first_with(best.validation)
        cells = [
            took(best),
            took(last),
            f"{last.peak_bytes / 2**20:,.0f}",
            f"{best.validation:.4f}",
        ]
        until = "never" if reached is None else took(reached)
        values = [f"{metrics[metric]:.4f}" for metric in arguments.shown]
        table.add_row(system, str(len(course.epochs)), course.ended, *cells, *values, until)
    Console(width=180).print(table)


def versions(arguments: Arguments) -> str:
    """Of the libraries that recstack's own environment does not have."""
    return f"; {', '.join(PINNED[:2])}" if set(arguments.peers) & set(OF_RECTOOLS) else ""


def took(epoch: Epoch) -> str:
    """Seconds, and those of all CPU cores, which other work on the machine changes less."""
    return f"{epoch.seconds:.0f} ({epoch.cpu_seconds:.0f})"


if __name__ == "__main__":
    main(tyro.cli(Arguments))
