"""The retrieval model on users that nobody knows: the same test queries, told of ever fewer of their events.

    .venv/bin/python benchmarks/cold_users.py --config configs/online_retail.toml --seeds 0

Each query keeps its targets and the items that are left out. Histories are cut to the last 0, 1, 2, 5 and 10 events,
for the baselines to those of items in the catalogue. The user's id, where the model learns from it, is one that
training never saw, but for the last row, which is the usual evaluation.

Prints recall and NDCG, and the model's paired differences to an empty history and to the baselines, which are told as
little. Of several seeds the values of each query are averaged. `--variants` are TOML assignments with whole names,
such as `retrieval.half_life=0.25`, apart by `;`, each of which is trained and judged too. Trainings stay in `--work`,
so the same command again goes on.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from ablation import changed
from rich.console import Console
from rich.table import Table

from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import RunLayout, Workdir
from features.encoding.schema_encoder import SchemaEncoder
from recstack.config import StackConfig, load_config
from trainer.config.baselines import BaselineName
from trainer.data.events import EncodedEvents, Int64
from trainer.evaluation.queries import JudgedSplit
from trainer.evaluation.retrieval import load_data, tuned_baseline
from trainer.metrics.intervals import paired_test
from trainer.metrics.lists import query_metrics
from trainer.metrics.protocol import UNKNOWN, EvaluationSet, Int
from trainer.metrics.top_k import Scorer, rank_by_scorer
from trainer.restore import Trained, restore
from trainer.retrieval.full_ranking import query_blocks, rank_by_model
from trainer.retrieval.stage import RetrievalStage
from trainer.retrieval.two_towers import TwoTowers
from trainer.stage import train_stage
from trainer.training.stage import StageContext

LENGTHS = (0, 1, 2, 5, 10)
CUTOFF = 10
METRICS = (f"recall@{CUTOFF}", f"ndcg@{CUTOFF}")

Told = Mapping[str, JudgedSplit]
"""By the name of its row: the split with what the model is told."""
Values = Mapping[str, np.ndarray]
"""`[queries]` a metric."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments: configuration, seeds and folder of the trainings."""

    config: Path
    """Configuration to train and evaluate."""
    seeds: list[int] = field(default_factory=lambda: [0])
    """One training each."""
    work: Path = Path("cold-users-benchmark")
    """Where the dataset and the trainings stay; another folder for each configuration."""
    variants: tuple[str, ...] = ()
    """TOML assignments laid over the configuration, which is judged too."""
    baselines: tuple[BaselineName, ...] = ("popularity", "context_popularity", "item_cf")
    """Baselines to compare the model with, told as little as it is."""
    split: Literal["validation", "test"] = "test"
    """Split that is judged."""


def main(arguments: Arguments) -> None:
    """Prepares once, fits the baselines once, then trains, judges and prints each variant."""
    stack = load_config(arguments.config)
    stack = replace(stack, evaluation=replace(stack.evaluation, split=arguments.split))
    workdir = Workdir(arguments.work / "work")
    prepare_dataset(stack.features, stack.pipeline, workdir.dataset, seed=stack.seed, progress=print)
    title = f"{arguments.config}, {arguments.split}, seeds {arguments.seeds}"
    judge: Judge | None = None
    for variant in ("", *arguments.variants):
        folder = arguments.work / (re.sub(r"\W+", "-", variant) or "configured")
        models = [train(changed(stack, variant, None), workdir, folder / str(seed), seed) for seed in arguments.seeds]
        judge = judge or make_judge(arguments.baselines, models[0], workdir, stack)
        show(f"{title} {variant}", judge, mean_of([values_of_model(model, judge.told, stack) for model in models]))


@dataclass(frozen=True, kw_only=True)
class Judge:
    """The test queries, targets and fitted baselines that all variants share."""

    told: Told
    """The queries as they are asked."""
    baselines: Mapping[str, Mapping[str, Values]]
    """Metrics of each baseline, by row of the table."""


def make_judge(
    names: tuple[BaselineName, ...], trained: Trained[TwoTowers], workdir: Workdir, stack: StackConfig
) -> Judge:
    """Cuts the queries and judges the baselines, tuned on validation with its whole histories."""
    data = load_data(trained, workdir.dataset, stack.evaluation)
    told = dict(cut_splits(data.judged, trained.encoder))
    baselines = {}
    for name in names:
        if name == "context_popularity" and data.judged.queries.context is None:
            continue
        baseline = tuned_baseline(name, trained, workdir.dataset, data, stack.evaluation, stack.seed)
        print(baseline, flush=True)
        baselines[name] = values_of_baseline(baseline.fit(data.interactions), told, stack)
    return Judge(told=told, baselines=baselines)


def train(stack: StackConfig, workdir: Workdir, folder: Path, seed: int) -> Trained[TwoTowers]:
    """One training, or the one that is there, restored as an export would."""
    context = StageContext(schema=stack.features, dataset=workdir.dataset, run=RunLayout(folder), seed=seed)
    stage = RetrievalStage(config=stack.retrieval, evaluation=stack.evaluation)
    manifest = train_stage(context, stage).manifest
    shown = {name: round(value, 4) for name, value in manifest.metrics.items()}
    print(f"seed {seed}: {manifest.seconds:.0f} s, validation", shown, flush=True)
    return restore(context, stage)


def cut_splits(split: JudgedSplit, encoder: SchemaEncoder) -> Iterator[tuple[str, JudgedSplit]]:
    """The split for an unknown user with each length of history, with the whole one, and as it is."""
    stranger = without_users(split, encoder)
    for length in LENGTHS:
        yield f"{length}", cut(stranger, length)
    yield "whole", stranger
    if encoder.schema.user_id in {feature.name for feature in encoder.schema.embedded_query}:
        yield "whole, and the user's id", split


def without_users(split: JudgedSplit, encoder: SchemaEncoder) -> JudgedSplit:
    """The queries as of users that training never saw; what else describes the users stays."""
    user, name = dict(split.events.user), encoder.schema.user_id
    if name in user:
        user[name] = np.full_like(user[name], encoder.lookup(name).vocabulary.first_token_index - 1)
    queries = replace(split.queries, user_rows=np.full_like(split.queries.user_rows, UNKNOWN))
    return replace(split, events=replace(split.events, user=user), queries=queries)


def cut(split: JudgedSplit, length: int) -> JudgedSplit:
    """The queries with at most the last `length` events of each history, for models and baselines alike."""
    events, history = split.events, split.queries.history
    places_from_end = history.indptr[1:][history.row_of_value] - np.arange(len(history.values))
    kept = places_from_end <= length
    queries = replace(
        split.queries, history=history.where(kept), history_timestamps=split.queries.history_timestamps[kept]
    )
    return replace(split, events=with_last(events, length), queries=queries)


def with_last(events: EncodedEvents, length: int) -> EncodedEvents:
    """The events, each with at most the last `length` entries of its history."""
    start: Int64 = np.maximum(events.history_start, events.history_end - length)
    return replace(events, history_start=start)


def values_of_model(trained: Trained[TwoTowers], told: Told, stack: StackConfig) -> dict[str, Values]:
    """The model's metrics of each query, by row of the table."""
    judged = {}
    for row, split in told.items():
        blocks = query_blocks(split.events, trained.encoder.schema, split.asked_at)
        seen = split.queries.seen if stack.evaluation.exclude_seen else None
        ranked = rank_by_model(trained.model, trained.candidates, blocks, CUTOFF, seen=seen)
        judged[row] = metrics(ranked.item_rows, split.queries)
    return judged


def values_of_baseline(scorer: Scorer, told: Told, stack: StackConfig) -> dict[str, Values]:
    """A baseline's metrics of each query, by row of the table."""
    exclude_seen = stack.evaluation.exclude_seen
    return {
        row: metrics(rank_by_scorer(scorer, split.queries, CUTOFF, exclude_seen=exclude_seen).item_rows, split.queries)
        for row, split in told.items()
    }


def metrics(ranked: Int, queries: EvaluationSet) -> Values:
    """The metrics that are shown."""
    found = query_metrics(ranked, queries.targets, [CUTOFF])
    return {name: found[name] for name in METRICS}


def mean_of(seeds: list[dict[str, Values]]) -> dict[str, Values]:
    """The mean over the seeds, query by query."""
    return {row: {name: np.mean([one[row][name] for one in seeds], axis=0) for name in METRICS} for row in seeds[0]}


def show(title: str, judge: Judge, model: Mapping[str, Values]) -> None:
    """One row a length of the history and metric, with the model's paired differences and their 95 % intervals."""
    queries = next(iter(judge.told.values())).queries
    table = Table("events", "metric", "model", "minus none", title=f"{title}, {len(queries)} queries")
    for name in judge.baselines:
        table.add_column(name)
        table.add_column("model minus it")
    for row, values in model.items():
        for metric, ours in values.items():
            cells = [f"{ours.mean():.4f}", difference(ours, model["0"][metric])]
            for baseline in judge.baselines.values():
                theirs = baseline[row][metric]
                cells += [f"{theirs.mean():.4f}", difference(ours, theirs)]
            table.add_row(row, metric, *cells)
    Console(width=200).print(table)


def difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    """The mean difference with its interval; there is one query a user."""
    found = paired_test(ours, theirs).difference
    return f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


if __name__ == "__main__":
    main(tyro.cli(Arguments))
