"""`recstack evaluate`: trained models in, metrics beside baselines out."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import tyro
from rich.table import Table

from features.disk.layout import StageName
from features.errors import InputError
from features.spec.tasks import TaskType
from recstack import stages
from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice
from recstack.folds import evaluate_folds
from recstack.verbs.train import chosen
from trainer.config.baselines import BaselineName
from trainer.config.evaluation import COLD_ITEMS

# Metrics of a ranking task's table, by the type of the task, and the titles of their columns.
_SHOWN_OF_TASKS: Mapping[TaskType, Mapping[str, str]] = {
    "binary": {"auc": "AUC", "log_loss": "log loss", "rmse": "RMSE", "calibration_error": "calibration error"},
    "regression": {"rmse": "RMSE", "mae": "MAE", "mean_prediction": "mean prediction", "mean_label": "mean label"},
}
_ERROR_OF_TASKS: Mapping[TaskType, str] = {"binary": "log loss", "regression": "squared error"}


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments(StackArguments):
    """Judges trained models over the full catalogue, beside baselines on the same split."""

    stage: tyro.conf.Positional[StageName | Literal["all"]] = "all"
    """Which model."""
    baselines: tuple[BaselineName | Literal["all"], ...] = ()
    """Baselines beside the retrieval model, or `all`; overrides evaluation.baselines.names."""
    folds: int | None = None
    """Trains and judges on so many folds."""

    @property
    def resolved(self) -> StackConfig:
        """The configuration with these baselines."""
        if not self.baselines:
            return self.stack
        names = tuple(name for name in get_args(BaselineName) if "all" in self.baselines or name in self.baselines)
        baselines = replace(self.stack.evaluation.baselines, names=names)
        return replace(self.stack, evaluation=replace(self.stack.evaluation, baselines=baselines))


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(EvaluateArguments, "evaluate", arguments)
    voice = Voice("evaluate", as_json=parsed.json)
    if parsed.folds is not None:
        cross_validate(parsed, parsed.folds, voice)
        return 0
    for stage in chosen(parsed.stack, parsed.stage):
        evaluate(parsed.resolved, stage, voice)
    return 0


def evaluate(stack: StackConfig, stage: StageName, voice: Voice) -> Mapping[str, Any]:
    """Evaluates one stage, shows its table and says where the metrics are; returns the metrics."""
    result = stages.evaluate(stack, stage, voice.progress)
    content, layout = result.content, result.layout
    for table in _TABLES[stage](content):
        voice.show(table)
    for line in better_baselines(content):
        voice.progress(line)
    if layout.report.exists():
        voice.progress(f"plots and slices, for a browser: {layout.report}")
    state = "nothing to do, up to date" if result.nothing_to_do else f"done in {content['seconds']:.1f} s"
    voice.result(
        f"{stage}: {state}: {layout.metrics}",
        {"stage": stage, "metrics": str(layout.metrics), "nothing_to_do": result.nothing_to_do} | headline(content),
    )
    return content


def better_baselines(result: Mapping[str, Any]) -> Iterator[str]:
    """A warning for each baseline that is better than the retrieval model by more than chance."""
    if "tasks" in result:  # of ranking, whose table shows the differences
        return
    metric = f"ndcg@{result['cutoffs'][0]}"
    for name in result["baselines"]:
        difference = result["versus"].get(name, {}).get(metric, {}).get("difference")
        if difference is not None and difference["high"] < 0 and name in get_args(BaselineName):
            interval = f"[{-difference['high']:.4f}, {-difference['low']:.4f}]"
            better = f"{metric} is higher by {-difference['value']:.4f} {interval}"
            yield f"the baseline {name} is better than the model: {better}; recstack tune may find better settings"


def cross_validate(arguments: EvaluateArguments, number: int, voice: Voice) -> Mapping[str, Any]:
    """Judges retrieval on several folds, shows the tables and returns the metrics.

    Raises:
        InputError: another stage than retrieval is asked for, or a number of folds that cannot be.
    """
    if arguments.stage not in ("all", "retrieval"):
        raise InputError(f"{arguments.stage} --folds: expected retrieval, which alone can be judged on folds")
    found = evaluate_folds(arguments.resolved, number, voice.progress)
    voice.show(_folds_table(found))
    metrics = arguments.stack.layout.folds.metrics
    voice.result(f"retrieval on {len(found['folds'])} folds: {metrics}", {"metrics": str(metrics), **found})
    return found


def _folds_table(found: Mapping[str, Any]) -> Table:
    """The metrics of all folds together, and how many of them the model won against each baseline."""
    folds, metrics = found["folds"], _shown_metrics(found, next(iter(found["models"].values())))
    queries = sum(fold["num_queries"] for fold in folds)
    table = Table(
        title=f"Retrieval on {len(folds)} folds: {queries:,} queries, full catalogue",
        caption="below: interval over users\n*: differs from the model (paired t-test over users)\n"
        "then folds in which the model is better, p of a t-test over folds",
    )
    for name in ("model", *metrics):
        table.add_column(name, justify="left" if name == "model" else "right")
    for name, row in found["models"].items():
        tests = found["versus"].get(name, {})
        cells = [_interval(row[metric], tests.get(metric)) for metric in metrics]
        won = [_won(tests[metric], len(folds)) if tests else "" for metric in metrics]
        table.add_row(name, *("\n".join(filter(None, pair)) for pair in zip(cells, won, strict=True)))
    return table


def _won(test: Mapping[str, Any], num_folds: int) -> str:
    return f"{test['folds_won']}/{num_folds} p={test['p_value_of_folds']:.2g}"


def _shown_metrics(result: Mapping[str, Any], metrics: Iterable[str]) -> list[str]:
    """The recalls, and NDCG at the first cut-off."""
    first = f"@{result['cutoffs'][0]}"
    return [name for name in metrics if name.startswith("recall") or name == f"ndcg{first}"]


def headline(result: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The model's and the baselines' numbers without intervals and slices; of ranking by `task/metric`."""
    if "tasks" not in result:
        return {name: _numbers(row) for name, row in _rows(result).items()}
    found: dict[str, dict[str, float]] = {}
    for task, judged in result["tasks"].items():
        for name, row in _rows(judged).items():
            numbers = {f"{task}/{metric}": value for metric, value in _numbers(row).items()}
            found[name] = found.get(name, {}) | numbers
    return found


def retrieval_tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """Models beside each other: metrics with their intervals, of all targets and of cold items alone."""
    yield _models_table(result)
    yield from _cold_table(result)


def _models_table(result: Mapping[str, Any]) -> Table:
    """Metrics of all targets, with a star where the difference to the model is certain."""
    model = result["model"]
    shown = _shown_metrics(result, model["metrics"])
    coverage = [name for name in model["catalogue"] if name.startswith("coverage")][-1]
    table = Table(
        title=f"Retrieval on the {result['split']} split: {model['num_queries']:,} queries, full catalogue",
        caption="below: bootstrap interval; *: differs from the model (paired t-test)",
    )
    for name in ("model", *shown, coverage):
        table.add_column(name, justify="left" if name == "model" else "right")
    for name, row in {model["model"]: model, **result["baselines"]}.items():
        tests = result["versus"].get(name, {})
        cells = [_interval(row["metrics"][metric], tests.get(metric)) for metric in shown]
        table.add_row(name, *cells, f"{row['catalogue'][coverage]:.3f}")
    return table


def _cold_table(result: Mapping[str, Any]) -> Iterator[Table]:
    """The same metrics judged by the targets without training events; no table where there are none."""
    rows = {result["model"]["model"]: result["model"], **result["baselines"]}
    slices = {name: row["slices"][COLD_ITEMS] for name, row in rows.items()}
    cold = slices[result["model"]["model"]]
    if not cold["num_targets"]:
        return
    table = Table(
        title=f"Cold items: {cold['num_targets']:,} targets of {cold['num_queries']:,} queries",
        caption="items without training events; below: bootstrap interval",
    )
    shown = [name for name in cold["metrics"] if name.startswith(("recall", "ndcg"))]
    for name in ("model", *shown):
        table.add_column(name, justify="left" if name == "model" else "right")
    for name, part in slices.items():
        table.add_row(name, *(_interval(part["metrics"][metric], None) for metric in shown))
    yield table
    yield from _places_table(result)


def _places_table(result: Mapping[str, Any]) -> Iterator[Table]:
    """What places for new items cost; an evaluation of an earlier version does not tell."""
    if not (rows := result.get("new_items")):
        return
    cutoff = min(result["cutoffs"])
    table = Table(
        title="Places kept for new items",
        caption=f"the last of {cutoff} places (export.new_item_share); off by default; below: bootstrap interval",
    )
    for name in ("places", f"ndcg@{cutoff}", f"recall@{cutoff}", f"cold recall@{cutoff}"):
        table.add_column(name, justify="right")
    for row in rows:
        cells = (_with_interval(row, name) for name in ("ndcg", "recall", "cold_recall"))
        table.add_row(f"{row['places']:.0f}", *cells)
    yield table


def ranking_tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """The ranking model beside its baselines, a table a task."""
    for task, judged in result["tasks"].items():
        count = judged["model"]["num_examples"]
        table = Table(title=f"Ranking on the {result['split']} split, task {task}: {count:,} labelled events")
        shown = _SHOWN_OF_TASKS[judged["type"]]
        table.caption = f"difference: {_ERROR_OF_TASKS[judged['type']]}, model minus row; paired bootstrap interval"
        if judged["type"] == "binary":
            table.caption += "\nby chance: what exact probabilities would show on as many events"
        for name in ("model", *shown.values(), "difference"):
            table.add_column(name, justify="left" if name == "model" else "right")
        for name, row in _rows(judged).items():
            table.add_row(name, *(_with_interval(row, metric) for metric in shown), _difference(row.get("difference")))
        yield table


def _rows(judged: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {"model": judged["model"], **judged["baselines"]}


def _difference(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return ""
    return f"{interval['value']:+.4f}\n[{interval['low']:+.4f}, {interval['high']:+.4f}]"


def _with_interval(row: Mapping[str, Any], metric: str) -> str:
    if row[metric] is None:
        return "-"
    interval, by_chance = row.get(f"{metric}_interval"), row.get(f"{metric}_by_chance")
    bounds = f"\n[{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
    return f"{row[metric]:.4f}{bounds}" + (f"\n{by_chance:.4f} by chance" if by_chance is not None else "")


def cascade_tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """What is served beside retrieval's order and the list ranker's, over the same candidates."""
    served = "the list ranker's order" if result["ranks"] else "retrieval's order"
    table = _models_table(result)
    num_queries = result["model"]["num_queries"]
    table.title = f"Cascade on the {result['split']} split: {num_queries:,} queries; served: {served}"
    table.caption = f"{result['reason']}\n{table.caption}"
    yield table
    yield from _cold_table(result)
    for task, metrics in result["by_label"].items():
        yield _label_table(task, metrics)
    yield _diversity_table(result["diversity"], min(result["cutoffs"]))
    yield from _importance_table(result)


def _importance_table(result: Mapping[str, Any]) -> Iterator[Table]:
    """Feature importance of the list ranker; no table without a validation split."""
    if not (known := result.get("ranker")):
        return
    caption = f"on {known['lists']:,} lists of the validation split, by permuting a group's values within each list"
    if (rules := known["rules"]) is not None:
        caption += f"\nrules in the report explain {rules['r_squared']:.0%} of the scores' variance"
    table = Table(title="Feature importance of the list ranker", caption=caption)
    for name in ("group", "features", f"ndcg@{known['cutoff']} lost"):
        table.add_column(name, justify="left" if name == "group" else "right")
    for row in known["importance"]:
        loss = row["loss"]
        spread = f"{loss['value']:+.4f} [{loss['low']:+.4f}, {loss['high']:+.4f}]"
        table.add_row(row["group"], str(row["features"]), spread)
    yield table


def _label_table(task: str, metrics: Mapping[str, Any]) -> Table:
    """What is served beside retrieval's order, judged by the targets that are positive for one task alone."""
    table = Table(title=f"Cascade judged by positive {task} alone", caption="difference: paired bootstrap interval")
    for name in ("metric", "cascade", "retrieval", "difference"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for name, row in metrics.items():
        if name.startswith(("recall", "ndcg", "mrr")):
            difference = row["difference"]
            spread = f"{difference['value']:+.4f} [{difference['low']:+.4f}, {difference['high']:+.4f}]"
            table.add_row(name, f"{row['cascade']:.4f}", f"{row['retrieval']:.4f}", spread)
    return table


def _diversity_table(curves: Mapping[str, Any], cutoff: int) -> Table:
    """The served lists re-ranked by each kind and strength."""
    table = Table(
        title=f"Diversity@{cutoff}",
        caption="served lists re-ranked; distance: mean\ncosine distance of pairs; then distinct\nvalues of features",
    )
    for kind, rows in curves.items():
        for row in rows:
            values = {name: value for name, value in row.items() if name != "strength"}
            if not table.columns:
                for name in ("re-ranking", *values):
                    table.add_column(name, justify="left" if name == "re-ranking" else "right")
            table.add_row(f"{kind} {row['strength']:g}", *(f"{value:.4f}" for value in values.values()))
    return table


_TABLES: Mapping[StageName, Callable[[Mapping[str, Any]], Iterator[Table]]] = {
    "retrieval": retrieval_tables,
    "ranking": ranking_tables,
    "list_ranking": cascade_tables,
}


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    if "metrics" in row:
        return {name: interval["value"] for name, interval in row["metrics"].items()} | dict(row["catalogue"])
    return {name: value for name, value in row.items() if isinstance(value, float | int)}


def _interval(interval: Mapping[str, float], test: Mapping[str, Any] | None) -> str:
    star = "*" if test is not None and test["p_value"] < 0.05 else ""
    return f"{interval['value']:.4f}{star}\n{interval['low']:.3f}-{interval['high']:.3f}"
