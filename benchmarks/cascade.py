"""The second stage beside retrieval alone and beside LightGBM's LambdaMART on the same candidates and features.

    .venv/bin/pip install lightgbm
    .venv/bin/python benchmarks/cascade.py --config configs/movielens.toml --seeds 7 8 9

Prints recall, NDCG and MRR on the test split, of what is taken next and of each task, with paired bootstrap intervals,
and how well items without training events are found, with places kept for them and beside baselines (`--baselines
content`). Trainings stay in `--work`, so the same command again goes on. What is to be chosen is chosen on validation
before (`--split validation`).
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import RunLayout, Workdir
from recstack.config import StackConfig, load_config
from trainer.cascade.lists import CandidateLists
from trainer.cascade.stage import ListRankingStage
from trainer.cascade.validation import order_of
from trainer.config.baselines import BaselineName
from trainer.config.evaluation import COLD_ITEMS
from trainer.data.encoded_dataset import EncodedDataset
from trainer.evaluation.cascade import cascade_lists, evaluate_cascade, splits_before
from trainer.evaluation.retrieval import evaluate_retrieval, load_data
from trainer.metrics.intervals import paired_test, seed_spread, user_groups
from trainer.metrics.lists import query_metrics
from trainer.restore import restore
from trainer.stage import stages_of, train_stage
from trainer.training.stage import StageContext

_TREES = {
    "objective": "lambdarank",
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "num_threads": 1,
    "verbose": -1,
}
_MOST_TREES, _PATIENCE = 400, 40
_SHOWN = ("recall@", "ndcg@", "mrr@")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments: configuration, seeds and folder of the trainings."""

    config: Path
    """Configuration to train and evaluate."""
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    """One training of every stage each."""
    work: Path = Path("cascade-benchmark")
    """Where the dataset and the trainings stay."""
    lambdamart: bool = True
    """Whether LightGBM ranks the same candidates."""
    baselines: tuple[BaselineName, ...] = ()
    """Baselines whose recall of items without training events is shown, for the first seed."""
    split: Literal["validation", "test"] = "test"
    """Split that is judged."""


def main(arguments: Arguments) -> None:
    """Prepares once, then trains, evaluates and prints each seed, and the spread over the seeds."""
    stack = load_config(arguments.config)
    workdir = Workdir(arguments.work / "work")
    prepare_dataset(stack.features, stack.pipeline, workdir.dataset, seed=stack.seed, progress=print)
    measured = []
    stack = replace(stack, evaluation=replace(stack.evaluation, split=arguments.split))
    contexts = [
        StageContext(
            schema=stack.features, dataset=workdir.dataset, run=RunLayout(arguments.work / str(seed)), seed=seed
        )
        for seed in arguments.seeds
    ]
    for context in contexts:
        measured.append(list(measure(stack, context, lambdamart=arguments.lambdamart)))
        show(f"{arguments.config}, seed {context.seed}, {arguments.split}", measured[-1])
    show_spread(measured)
    if arguments.baselines:
        rows = cold_of_baselines(stack, contexts[0], arguments.baselines)
        show_cold("baselines, items without training events", rows)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metric of one order beside retrieval's."""

    task: str
    order: str
    metric: str
    value: float
    retrieval: float
    difference: Mapping[str, float]


def measure(stack: StackConfig, context: StageContext, *, lambdamart: bool) -> Iterator[Row]:
    """Trains what is missing and judges the cascade as it is served, and LambdaMART where it is wanted."""
    stage = stages_of(stack)["list_ranking"]
    assert isinstance(stage, ListRankingStage)
    metrics = train_stage(context, stage).manifest.metrics
    print(f"seed {context.seed}: validation", {name: round(value, 4) for name, value in metrics.items()}, flush=True)
    result = evaluate_cascade(restore(context, stage), context, stack.evaluation, stage)
    show_cold(
        f"seed {context.seed}, items without training events", cold_of_cascade(result, min(stack.evaluation.cutoffs))
    )
    retrieval = result["baselines"]["retrieval"]["metrics"]
    for name, value in shown(result["model"]["metrics"]).items():
        difference = result["versus"]["retrieval"][name]["difference"]
        yield Row(
            task="taken",
            order="cascade",
            metric=name,
            value=value["value"],
            retrieval=retrieval[name]["value"],
            difference=difference,
        )
    for task, metrics_of_task in result["by_label"].items():
        for name, value in shown(metrics_of_task).items():
            yield Row(
                task=task,
                order="cascade",
                metric=name,
                value=value["cascade"],
                retrieval=value["retrieval"],
                difference=value["difference"],
            )
    if lambdamart:
        yield from measure_trees(stack, context, stage)


def cold_of_cascade(result: Mapping[str, Any], cutoff: int) -> Iterator[tuple[str, ...]]:
    """Rows of `show_cold`: both orders, and the served one with places kept for new items."""
    for name, evaluation in {"cascade": result["model"], **result["baselines"]}.items():
        for metric, value in shown(evaluation["slices"][COLD_ITEMS]["metrics"]).items():
            yield name, metric, _with_bounds(value["value"], value["low"], value["high"]), ""
    for row in result["new_items"]:
        ndcg, recall = (_with_bounds(row[name], *row[f"{name}_interval"]) for name in ("ndcg", "cold_recall"))
        yield f"cascade, {row['places']:.0f} places kept", f"recall@{cutoff}", recall, ndcg


def cold_of_baselines(
    stack: StackConfig, context: StageContext, names: tuple[BaselineName, ...]
) -> Iterator[tuple[str, ...]]:
    """The same of baselines, tuned on validation."""
    trained = restore(context, stages_of(stack)["retrieval"])
    config = replace(stack.evaluation, baselines=replace(stack.evaluation.baselines, names=names))
    result = evaluate_retrieval(trained, context.dataset, config, stack.seed, print)
    for name, evaluation in result["baselines"].items():
        for metric, value in shown(evaluation["slices"][COLD_ITEMS]["metrics"]).items():
            yield name, metric, _with_bounds(value["value"], value["low"], value["high"]), ""


def show_cold(title: str, rows: Iterable[tuple[str, ...]]) -> None:
    """Metrics by targets without training events, with bootstrap intervals."""
    table = Table("order", "metric", "of such items", "ndcg of all", title=title)
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


def _with_bounds(value: float, low: float, high: float) -> str:
    return f"{value:.4f} [{low:.4f}, {high:.4f}]"


def measure_trees(stack: StackConfig, context: StageContext, stage: ListRankingStage) -> Iterator[Row]:
    """LambdaMART learnt from the ranker's own lists, stopped by its validation lists, over its test candidates."""
    trained = restore(context, stage)
    dataset = EncodedDataset(encoder=trained.encoder, candidates=trained.candidates)
    validation = stage.make_validation(context, dataset)
    assert validation is not None
    judged = load_data(trained, context.dataset, stack.evaluation).judged
    lists = cascade_lists(trained, context, judged, stage, known=splits_before(stack.evaluation.split))
    started = time.monotonic()
    scores = trees(stage.load_events(context, dataset), validation.lists, lists)
    print(f"seed {context.seed}: LambdaMART took {time.monotonic() - started:.0f} s", flush=True)
    rows = lists.rows.astype(np.int64)
    ranked = np.take_along_axis(rows, order_of(np.where(rows >= 0, scores, -np.inf).astype(np.float32)), axis=1)
    cutoffs, targets = stack.evaluation.cutoffs, judged.queries.targets
    ours, theirs = (query_metrics(order, targets, cutoffs) for order in (ranked, rows))
    groups = user_groups(judged.queries.user_rows)
    for name, values in shown(ours).items():
        difference = paired_test(values, theirs[name], groups).difference
        yield Row(
            task="taken",
            order="LambdaMART",
            metric=name,
            value=float(values.mean()),
            retrieval=float(theirs[name].mean()),
            difference={"value": difference.value, "low": difference.low, "high": difference.high},
        )


def trees(train: CandidateLists, validation: CandidateLists, test: CandidateLists) -> np.ndarray:
    """LightGBM's scores of the test lists, `[lists, C]`."""
    import lightgbm

    def dataset(lists: CandidateLists) -> Any:
        some = np.flatnonzero(lists.labels.any(axis=1))
        inputs = both_forms(lists)[some]
        return lightgbm.Dataset(
            inputs.reshape(-1, inputs.shape[-1]), lists.labels[some].ravel(), group=[inputs.shape[1]] * len(some)
        )

    stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
    parameters = _TREES | {"metric": "ndcg", "eval_at": [10]}
    model = lightgbm.train(parameters, dataset(train), _MOST_TREES, valid_sets=[dataset(validation)], callbacks=[stop])
    inputs = both_forms(test)
    predicted: np.ndarray = model.predict(inputs.reshape(-1, inputs.shape[-1])).reshape(inputs.shape[:2])
    return predicted


def both_forms(lists: CandidateLists) -> np.ndarray:
    """The features and the features standardised within their list, as the network has them, `[lists, C, 2 F]`."""
    is_item = (lists.rows >= 0)[..., None]
    count = np.maximum(is_item.sum(axis=1, keepdims=True), 1)
    centred = lists.features - (lists.features * is_item).sum(axis=1, keepdims=True) / count
    deviation = np.sqrt((np.square(centred) * is_item).sum(axis=1, keepdims=True) / count + 1e-6)
    return np.concatenate([lists.features, is_item * centred / deviation], axis=-1)


def shown(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of the tables."""
    return {name: value for name, value in metrics.items() if name.startswith(_SHOWN)}


def show(title: str, rows: list[Row]) -> None:
    """One row a metric, with the paired difference to retrieval and its interval."""
    table = Table("task", "order", "metric", "value", "retrieval", "difference", title=title)
    for row in rows:
        low, high = row.difference["low"], row.difference["high"]
        difference = f"{row.difference['value']:+.4f} [{low:+.4f}, {high:+.4f}]"
        table.add_row(row.task, row.order, row.metric, f"{row.value:.4f}", f"{row.retrieval:.4f}", difference)
    Console(width=120).print(table)


def show_spread(measured: list[list[Row]]) -> None:
    """Mean and standard deviation over the seeds."""
    table = Table("task", "order", "metric", "value", "retrieval", title=f"{len(measured)} seeds, mean ± deviation")
    for of_seeds in zip(*measured, strict=True):
        first = of_seeds[0]
        cells = [seed_spread([getattr(row, name) for row in of_seeds]) for name in ("value", "retrieval")]
        texts = (f"{cell.mean:.4f} ± {cell.standard_deviation:.4f}" for cell in cells)
        table.add_row(first.task, first.order, first.metric, *texts)
    Console(width=120).print(table)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
