"""Variants of a configuration over several seeds, judged on events that lie between training and test.

    .venv/bin/python benchmarks/ablation.py --config configs/movielens.toml --validation 0.2 --later 0.5 \
        --variants 'retrieval.encoder.kind="mean"' 'retrieval.dimension=64' --baselines popularity item_cf

Each variant is a few TOML assignments, apart by `;`, laid over the configuration; the configuration itself, `now`,
comes first. `--later` moves that share of each user's validation events into the history: what is predicted is then as
far from the training events as a test is that comes after the validation. The test split is never read.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import RunLayout, Workdir
from features.encoding.schema_encoder import SchemaEncoder
from features.serialization import structure
from recstack.config import StackConfig, load_config
from trainer.baselines.table import make_baseline
from trainer.baselines.tuning import tune
from trainer.config.baselines import BaselineName
from trainer.config.evaluation import COLD_ITEMS
from trainer.data.catalogue import load_catalogue
from trainer.data.events import EncodedEvents, load_events
from trainer.evaluation.queries import evaluation_set, training_interactions, training_users
from trainer.evaluation.retrieval import item_texts
from trainer.metrics.intervals import seed_spread
from trainer.metrics.lists import query_metrics
from trainer.metrics.protocol import EvaluationSet, Interactions
from trainer.metrics.slices import item_slices
from trainer.metrics.top_k import rank_by_scorer
from trainer.restore import Trained, restore
from trainer.retrieval.full_ranking import query_blocks, rank_by_model
from trainer.retrieval.stage import RetrievalStage
from trainer.retrieval.two_towers import TwoTowers
from trainer.stage import train_stage
from trainer.training.stage import StageContext

CUTOFFS = (10, 20, 100)
SHOWN = ("ndcg@10", "ndcg@20", "recall@10", "recall@20", "recall@100", "cold recall@10", "cold recall@100")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is compared."""

    config: Path
    """Configuration that the variants change."""
    variants: tuple[str, ...] = ()
    """TOML assignments, apart by `;`."""
    baselines: tuple[BaselineName, ...] = ()
    """Baselines to tune and judge on the same events."""
    seeds: int = 3
    """Trainings of each variant."""
    validation: float | None = None
    """Share of each user's events to validate with, in place of the configured one."""
    later: float = 0.0
    """Share of the validation events that are history, not targets."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The events to predict, as queries, and what the baselines are fitted on."""

    events: EncodedEvents
    queries: EvaluationSet
    asked_at: Any
    interactions: Interactions


def main(arguments: Arguments) -> None:
    """Trains, judges and prints one row a variant and baseline."""
    table = Table(title=f"{arguments.config}: validation, {arguments.seeds} seeds, mean and standard deviation")
    for column in ("variant", *SHOWN, "seconds a training"):
        table.add_column(column)
    with TemporaryDirectory() as folder:
        for variant in ("", *arguments.variants):
            stack = changed(load_config(arguments.config), variant, arguments.validation)
            values = [train_and_judge(stack, Path(folder), arguments.later, seed) for seed in range(arguments.seeds)]
            cells = [seed_spread([run[name] for run in values]) for name in (*SHOWN, "seconds")]
            row = [f"{cell.mean:.4f} ± {cell.standard_deviation:.4f}" for cell in cells[:-1]]
            table.add_row(variant or "now", *row, f"{cells[-1].mean:.0f}")
            print(variant or "now", *row, flush=True)
        for name in arguments.baselines:
            stack = changed(load_config(arguments.config), "", arguments.validation)
            metrics = judge_baseline(name, stack, Path(folder), arguments.later)
            table.add_row(name, *(f"{metrics[metric]:.4f}" for metric in SHOWN), "")
    Console(width=140).print(table)


def changed(stack: StackConfig, variant: str, validation: float | None) -> StackConfig:
    """The configuration with the variant's assignments."""
    tree = tomllib.loads(stack.to_toml())
    _merge(tree, tomllib.loads("\n".join(variant.split(";"))))
    if validation is not None:
        _merge(tree, {"pipeline": {"split": {"validation": validation}}})
    return structure(tree, StackConfig)


def _merge(tree: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(tree.get(name), dict):
            _merge(tree[name], value)
        else:
            tree[name] = value


def prepared(stack: StackConfig, folder: Path) -> Workdir:
    """The dataset of the configuration, made once."""
    workdir = Workdir(folder / stack.features.fingerprint())
    prepare_dataset(stack.features, stack.pipeline, workdir.dataset, seed=stack.seed, progress=lambda message: None)
    return workdir


def train_and_judge(stack: StackConfig, folder: Path, later: float, seed: int) -> dict[str, float]:
    """Metrics of one training, and its `seconds`."""
    workdir = prepared(stack, folder)
    with TemporaryDirectory(dir=folder) as run_folder:
        context = StageContext(
            schema=stack.features, dataset=workdir.dataset, run=RunLayout(Path(run_folder)), seed=seed
        )
        stage = RetrievalStage(config=stack.retrieval, evaluation=stack.evaluation)
        manifest = train_stage(context, stage).manifest
        trained = restore(context, stage)
    data = judged(trained.encoder, stack, workdir, later)
    return metrics_of_model(trained, data, exclude_seen=stack.evaluation.exclude_seen) | {"seconds": manifest.seconds}


def judged(encoder: SchemaEncoder, stack: StackConfig, workdir: Workdir, later: float) -> Judged:
    """The validation events, the first of them moved into the history."""
    schema = stack.features
    candidates = load_catalogue(workdir.dataset, encoder)
    rows = candidates.rows()
    train = load_events(workdir.dataset.interactions("train"), encoder, rows, records="retrieval")
    events = load_events(workdir.dataset.interactions("validation"), encoder, rows, records="retrieval")
    events = moved_on(events, later)
    has_user = schema.user_id in {feature.name for feature in schema.query}
    first_user = encoder.lookup(schema.user_id).vocabulary.first_token_index if has_user else 0
    users = training_users(train, schema, first_user)
    only_next = stack.evaluation.targets == "next"
    queries, asked_at = evaluation_set(events, schema, users, first_user, len(candidates), only_next=only_next)
    interactions = training_interactions([train], schema, first_user, len(candidates))
    return Judged(events=events, queries=queries, asked_at=asked_at, interactions=interactions)


def moved_on(events: EncodedEvents, later: float) -> EncodedEvents:
    """The events with that share of each record's targets, rounded down to whole moments, as context."""
    first = events.record_splits[:-1] + events.num_context
    place = first + ((events.record_splits[1:] - first) * later).astype(np.int64)
    same_as_before = np.zeros(len(events) + 1, bool)
    same_as_before[1:-1] = events.timestamp[1:] == events.timestamp[:-1]
    starts = np.maximum.accumulate(np.where(same_as_before, 0, np.arange(len(events) + 1)))
    return replace(events, num_context=np.maximum(starts[place], first) - events.record_splits[:-1])


def metrics_of_model(trained: Trained[TwoTowers], data: Judged, *, exclude_seen: bool) -> dict[str, float]:
    """Mean metrics of the two-tower model."""
    queries = query_blocks(data.events, trained.encoder.schema, data.asked_at)
    seen = data.queries.seen if exclude_seen else None
    ranked = rank_by_model(trained.model, trained.candidates, queries, max(CUTOFFS), seen=seen)
    return _means(ranked.item_rows, data)


def judge_baseline(name: BaselineName, stack: StackConfig, folder: Path, later: float) -> dict[str, float]:
    """Mean metrics of a baseline, tuned on the events it is judged by: an upper bound of what it reaches."""
    workdir = prepared(stack, folder)
    encoder = SchemaEncoder(stack.features, workdir.dataset)
    data = judged(encoder, stack, workdir, later)
    exclude_seen = stack.evaluation.exclude_seen
    texts = item_texts(stack.features, workdir.dataset) if name == "content" else ()
    baseline = make_baseline(name, item_texts=texts, seed=0)
    baseline = tune(baseline, data.interactions, data.queries, exclude_seen=exclude_seen).baseline
    ranked = rank_by_scorer(baseline.fit(data.interactions), data.queries, max(CUTOFFS), exclude_seen=exclude_seen)
    return _means(ranked.item_rows, data)


def _means(item_rows: Any, data: Judged) -> dict[str, float]:
    """Metrics of all targets, and of those without training events; these are NaN if there are none."""
    targets = data.queries.targets
    is_cold = item_slices(data.interactions.popularity)[COLD_ITEMS]
    cold = targets.where((targets.values >= 0) & is_cold[targets.values])
    some = np.flatnonzero(cold.lengths)
    metrics = query_metrics(item_rows, targets, CUTOFFS)
    means = {name: float(values.mean()) for name, values in metrics.items()}
    of_cold = query_metrics(item_rows[some], cold.take(some), CUTOFFS) if len(some) else {}
    return means | {f"cold {name}": float(of_cold[name].mean()) if of_cold else math.nan for name in means}


if __name__ == "__main__":
    main(tyro.cli(Arguments))
