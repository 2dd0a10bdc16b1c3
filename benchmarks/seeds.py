"""Test results of a configuration over several seeds, with seen items left out and ranked too, beside its baselines.

    .venv/bin/python benchmarks/seeds.py --config configs/beauty.toml --seeds 3

What is to be chosen is chosen on validation (`benchmarks/ablation.py`) before. The dataset is prepared once. With
`--baselines` the first seed's evaluation tunes and judges the configured ones too, or those that `--names` gives.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import RunLayout, Workdir
from features.disk.manifest import Manifest
from recstack.config import StackConfig, load_config
from trainer.config.baselines import BaselineName, BaselinesConfig
from trainer.config.evaluation import COLD_ITEMS
from trainer.evaluation.retrieval import evaluate_retrieval
from trainer.metrics.intervals import seed_spread
from trainer.restore import Trained, restore
from trainer.retrieval.stage import RetrievalStage
from trainer.retrieval.two_towers import TwoTowers
from trainer.stage import train_stage
from trainer.training.stage import StageContext


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is measured."""

    config: Path
    """Configuration to train and evaluate."""
    seeds: int = 3
    """Trainings."""
    baselines: bool = False
    """Whether baselines are judged too."""
    names: tuple[BaselineName, ...] = ()
    """Which ones, in place of the configured ones."""


def main(arguments: Arguments) -> None:
    """Prepares, trains, evaluates and prints."""
    stack = load_config(arguments.config)
    if arguments.names:
        baselines = replace(stack.evaluation.baselines, names=arguments.names)
        stack = replace(stack, evaluation=replace(stack.evaluation, baselines=baselines))
    configured, otherwise, seconds = [], [], []
    exclude_seen = stack.evaluation.exclude_seen
    with TemporaryDirectory() as folder:
        workdir = Workdir(Path(folder) / "work")
        prepare_dataset(stack.features, stack.pipeline, workdir.dataset, seed=stack.seed, progress=print)
        for seed in range(arguments.seeds):
            trained, manifest = train(stack, workdir, Path(folder) / str(seed), seed)
            with_baselines = arguments.baselines and seed == 0
            configured.append(
                evaluate(trained, workdir, stack, exclude_seen=exclude_seen, with_baselines=with_baselines)
            )
            otherwise.append(evaluate(trained, workdir, stack, exclude_seen=not exclude_seen, with_baselines=False))
            seconds.append(manifest.seconds)
            found = {name: round(value["value"], 4) for name, value in metrics(configured[-1]["model"]).items()}
            print(f"seed {seed}: {manifest.seconds:.0f} s", found, flush=True)
    show(arguments, configured, otherwise, seconds, exclude_seen=exclude_seen)


def train(stack: StackConfig, workdir: Workdir, folder: Path, seed: int) -> tuple[Trained[TwoTowers], Manifest]:
    """One training, restored as an export would, and what its manifest says."""
    context = StageContext(schema=stack.features, dataset=workdir.dataset, run=RunLayout(folder), seed=seed)
    stage = RetrievalStage(config=stack.retrieval, evaluation=stack.evaluation)
    manifest = train_stage(context, stage).manifest
    print(f"seed {seed}: validation", {name: round(value, 4) for name, value in manifest.metrics.items()}, flush=True)
    return restore(context, stage), manifest


def evaluate(
    trained: Trained[TwoTowers], workdir: Workdir, stack: StackConfig, *, exclude_seen: bool, with_baselines: bool
) -> dict[str, Any]:
    """`recstack evaluate retrieval` of one training."""
    baselines = stack.evaluation.baselines if with_baselines else BaselinesConfig(names=())
    config = replace(stack.evaluation, split="test", exclude_seen=exclude_seen, baselines=baselines)
    progress: Callable[[str], None] = print if with_baselines else lambda message: None
    return evaluate_retrieval(trained, workdir.dataset, config, stack.seed, progress)


def metrics(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Recall and NDCG of the model or a baseline, with their bootstrap intervals."""
    return {name: value for name, value in evaluation["metrics"].items() if name.startswith(("recall@", "ndcg@"))}


def cold_metrics(evaluation: dict[str, Any]) -> dict[str, Any]:
    """The same of the targets without training events; empty if there are none."""
    found = metrics(evaluation["slices"][COLD_ITEMS])
    return {f"cold items: {name}": value for name, value in found.items()}


def show(
    arguments: Arguments,
    configured: list[dict[str, Any]],
    otherwise: list[dict[str, Any]],
    seconds: list[float],
    *,
    exclude_seen: bool,
) -> None:
    """One row a metric, of the model and of each baseline."""
    title = f"{arguments.config}: test, {arguments.seeds} seeds, mean and standard deviation"
    table = Table(title=f"{title}; {sum(seconds) / len(seconds):.0f} s a training")
    columns = ("seen items left out", "seen items ranked too")
    judged, other = columns if exclude_seen else columns[::-1]
    for column in ("metric", judged, "interval of the first seed", other, "first seed minus baseline"):
        table.add_column(column)
    for of in (metrics, cold_metrics):
        for name, first in of(configured[0]["model"]).items():
            cells = [seed_spread([of(one["model"])[name]["value"] for one in runs]) for runs in (configured, otherwise)]
            mean, other_mean = (f"{cell.mean:.4f} ± {cell.standard_deviation:.4f}" for cell in cells)
            table.add_row(name, mean, _bounds(first), other_mean, "")
    for row in zip(*(one["new_items"] for one in configured), strict=True):
        cells = [seed_spread([one[name] for one in row]) for name in ("ndcg", "recall", "cold_recall")]
        values = ", ".join(f"{cell.mean:.4f} ± {cell.standard_deviation:.4f}" for cell in cells)
        table.add_row(
            f"{row[0]['places']:.0f} places for new items: ndcg, recall, recall of cold items", values, "", "", ""
        )
    for baseline, evaluation in configured[0]["baselines"].items():
        for name, value in cold_metrics(evaluation).items():
            table.add_row(f"{baseline}: {name}", f"{value['value']:.4f}", _bounds(value), "", "")
        for name, value in metrics(evaluation).items():
            apart = configured[0]["versus"][baseline][name]["difference"]
            difference = f"{apart['value']:+.4f} {_bounds(apart)}"
            table.add_row(f"{baseline}: {name}", f"{value['value']:.4f}", _bounds(value), "", difference)
    Console(width=160).print(table)


def _bounds(interval: dict[str, float]) -> str:
    return f"[{interval['low']:.4f}, {interval['high']:.4f}]"


if __name__ == "__main__":
    main(tyro.cli(Arguments))
