"""Networks of the ranking model side by side on the test split, mean and deviation over seeds.

    .venv/bin/python benchmarks/ranking_networks.py --config configs/movielens.toml --seeds 0 1 2

Each form is a few TOML assignments over `[ranking]` of the configuration. Multi-task forms predict the configuration's
tasks and, where the log has ratings, these as a second task. AUC and log loss are those of the first task. A
training stays in `--work`, so that the same command goes on where it was stopped.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tyro
from rich.console import Console
from rich.table import Table

from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import RunLayout, Workdir
from features.serialization import structure
from features.spec.tasks import Task
from recstack.config import StackConfig, load_config
from trainer.config.ranking import RankingConfig
from trainer.evaluation.label_baselines import load_splits
from trainer.evaluation.ranking import score_pairs
from trainer.metrics.intervals import seed_spread
from trainer.ranking.model import RankingModel
from trainer.ranking.stage import RankingStage
from trainer.restore import Trained, restore
from trainer.stage import train_stage
from trainer.training.stage import StageContext

FORMS: Mapping[str, str] = {
    "mlp": 'network = { kind = "mlp" }',
    "dcn, full matrices": 'network = { kind = "dcn", cross_rank = 0 }',
    "dcn, rank 32": 'network = { kind = "dcn" }',
    "dlrm": 'network = { kind = "dlrm" }',
    "din": 'network = { kind = "din" }',
    "sequence, transformer": 'network = { kind = "sequence" }',
    "sequence, hstu": 'network = { kind = "sequence", encoder = { kind = "hstu" } }',
}
TWO_TASKS: Mapping[str, str] = {
    "mlp, shared bottom": 'network = { kind = "mlp" }\nmulti_task = { kind = "shared_bottom" }',
    "mlp, shared bottom, towers": 'network = { kind = "mlp" }\nmulti_task = { kind = "shared_bottom", tower = [32] }',
    "mlp, mmoe": 'network = { kind = "mlp" }\nmulti_task = { kind = "mmoe" }',
    "mlp, mmoe, towers": 'network = { kind = "mlp" }\nmulti_task = { kind = "mmoe", tower = [32] }',
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments."""

    config: Path
    """Configuration with a binary task."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One training each."""
    forms: tuple[str, ...] = ()
    """Names of the forms to train; all, if none is given."""
    work: Path = Path("ranking-networks")
    """Where the datasets and the trainings stay."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One training: metrics of the first task, and how long it took."""

    auc: float
    log_loss: float
    seconds: float


def main(arguments: Arguments) -> None:
    """Trains what is missing and prints one row a form."""
    stack = load_config(arguments.config)
    table = Table("tasks", "form", "AUC", "log loss", "seconds a training", title=f"{arguments.config}, test")
    for tasks, schema_stack, forms in (("one", stack, FORMS), ("two", with_ratings(stack), TWO_TASKS)):
        workdir = Workdir(arguments.work / tasks)
        prepare_dataset(schema_stack.features, schema_stack.pipeline, workdir.dataset, seed=stack.seed, progress=print)
        for name, assignments in forms.items():
            if arguments.forms and name not in arguments.forms:
                continue
            rows = [measured(schema_stack, workdir, name, assignments, seed) for seed in arguments.seeds]
            spreads = [seed_spread([getattr(row, field) for row in rows]) for field in ("auc", "log_loss", "seconds")]
            cells = [f"{spread.mean:.4f} ± {spread.standard_deviation:.4f}" for spread in spreads[:2]]
            table.add_row(tasks, name, *cells, f"{spreads[2].mean:.0f}")
    Console(width=120).print(table)


def with_ratings(stack: StackConfig) -> StackConfig:
    """The configuration with the ratings as a second task, a regression."""
    tasks = (*stack.features.task, Task(name="rating", type="regression"))
    return replace(stack, features=replace(stack.features, task=tasks))


def measured(stack: StackConfig, workdir: Workdir, name: str, assignments: str, seed: int) -> Row:
    """Trains one form, or finds it trained, and judges it on the test split."""
    configured = tomllib.loads(stack.to_toml())["ranking"]
    config = structure({**configured, **tomllib.loads(assignments)}, RankingConfig, "ranking")
    run = RunLayout(workdir.root / "runs" / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}")
    context = StageContext(schema=stack.features, dataset=workdir.dataset, run=run, seed=seed)
    stage = RankingStage(config=config)
    seconds = train_stage(context, stage).manifest.seconds
    found = Row(**judged(restore(context, stage), workdir), seconds=seconds)
    print(name, seed, found, flush=True)
    return found


def judged(trained: Trained[RankingModel], workdir: Workdir) -> Mapping[str, float]:
    """`auc` and `log_loss` of the first task on the test split."""
    splits, head = load_splits(trained, workdir.dataset, "test"), trained.model.heads[0]
    scores = score_pairs(trained, splits.judged_events, splits.judged)[head.task_name]
    predictions = head.prediction(head.calibrated(scores)).numpy()
    return head.validation(splits.judged.labels[:, 0], predictions, splits.judged.weight)[1]


if __name__ == "__main__":
    main(tyro.cli(Arguments))
