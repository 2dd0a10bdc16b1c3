"""What `recstack init` proposes and what `recstack tune` makes of it, on test, beside a configuration by hand.

    recstack init --interactions tables/beauty/interactions.parquet --items tables/beauty/items.parquet \
        --output beauty.toml
    .venv/bin/python benchmarks/first_proposal.py --config beauty.toml --minutes 60 --beside configs/beauty.toml

Prepares the dataset, searches for that many minutes, and trains each configuration with several seeds. All of them
rank the full catalogue for the same test queries, and are judged by what `--beside` takes for targets. The column of
validation is by each configuration's own targets. A search that was begun goes on, so that `--minutes 0` trains what
the former ones found.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table
from seeds import evaluate, metrics, train

from recstack.config import StackConfig, load_config
from trainer.config.evaluation import EvaluationConfig
from trainer.metrics.intervals import seed_spread
from trainer.retrieval.stage import RetrievalStage

SHOWN = ("recall@10", "ndcg@10", "recall@20", "ndcg@20")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments: the proposed configuration, the time of the search, and seeds."""

    config: Path
    """Configuration that `recstack init` wrote."""
    minutes: float = 0.0
    """Wall time of the search; 0 searches nothing."""
    workers: int = 1
    """Trials that the search trains at once."""
    beside: Path | None = None
    """Another configuration of the same events."""
    seeds: int = 3
    """Trainings of each configuration."""


def main(arguments: Arguments) -> None:
    """Prepares, searches, trains, evaluates and prints one row a configuration."""
    table = Table(title=f"{arguments.config}: test, {arguments.seeds} seeds, mean and standard deviation")
    for column in ("configuration", f"validation {RetrievalStage.objective}", *SHOWN, "seconds a training"):
        table.add_column(column)
    judge = load_config(arguments.beside or arguments.config).evaluation
    for name, config in configurations(arguments):
        trained = trainings(load_config(config), judge, arguments.seeds)
        cells = [seed_spread(values) for values in zip(*trained, strict=True)]
        row = [f"{cell.mean:.4f} ± {cell.standard_deviation:.4f}" for cell in cells[:-1]]
        table.add_row(name, *row, f"{cells[-1].mean:.0f}")
        print(name, *row, flush=True)
    Console(width=140).print(table)


def configurations(arguments: Arguments) -> Iterator[tuple[str, Path]]:
    """The configurations to train, each with its dataset prepared."""
    recstack("prepare", "--config", str(arguments.config))
    yield "init", arguments.config
    if arguments.minutes > 0:
        budget = ("--minutes", str(arguments.minutes), "--workers", str(arguments.workers))
        yield "tune", Path(recstack("tune", "--config", str(arguments.config), *budget)["config"])
    if arguments.beside is not None:
        recstack("prepare", "--config", str(arguments.beside))
        yield arguments.beside.stem, arguments.beside


def recstack(*arguments: str) -> Any:
    """A verb's result."""
    command = [sys.executable, "-m", "recstack", *arguments, "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def trainings(stack: StackConfig, judge: EvaluationConfig, seeds: int) -> Iterator[list[float]]:
    """Of each seed the validation objective, the test metrics as `judge` has them, and the seconds."""
    stack = replace(stack, evaluation=replace(stack.evaluation, cutoffs=(10, 20)))
    judged = replace(stack, evaluation=replace(judge, cutoffs=(10, 20)))
    for seed in range(seeds):
        with TemporaryDirectory() as folder:
            trained, manifest = train(stack, stack.layout, Path(folder), seed)
            found = evaluate(trained, stack.layout, judged, exclude_seen=judge.exclude_seen, with_baselines=False)
        tested = metrics(found["model"])
        yield [
            manifest.metrics[RetrievalStage.objective],
            *(tested[name]["value"] for name in SHOWN),
            manifest.seconds,
        ]


if __name__ == "__main__":
    main(tyro.cli(Arguments))
