"""`recstack evaluate`: trained models in, metrics beside baselines out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import tyro
from rich.table import Table

from features.disk.layout import Stage
from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice
from recstack.verbs.train import stages
from trainer.config.baselines import BaselineName


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments(StackArguments):
    """Judges trained models over the full catalogue, beside baselines on the same split."""

    stage: tyro.conf.Positional[Literal["retrieval", "ranking", "all"]] = "all"
    """Which model."""
    baselines: tuple[BaselineName | Literal["all"], ...] = ()
    """Baselines beside the retrieval model, or `all`; overrides evaluation.baselines.names."""

    @property
    def resolved(self) -> StackConfig:
        """The configuration with these baselines."""
        if not self.baselines:
            return self.stack
        names = tuple(name for name in get_args(BaselineName) if "all" in self.baselines or name in self.baselines)
        chosen = replace(self.stack.evaluation.baselines, names=names)
        return replace(self.stack, evaluation=replace(self.stack.evaluation, baselines=chosen))


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(EvaluateArguments, "evaluate", arguments)
    voice = Voice("evaluate", as_json=parsed.json)
    for stage in stages(parsed.stage):
        evaluate(parsed.resolved, stage, voice)
    return 0


def evaluate(stack: StackConfig, stage: Stage, voice: Voice) -> dict[str, Any]:
    """Evaluates one stage, shows its table and says where the metrics are; returns the metrics."""
    stack.require_dataset()
    from trainer.evaluation.job import EvaluationJob, evaluate_stage

    job = EvaluationJob(
        schema=stack.features,
        workdir=stack.layout,
        retrieval=stack.retrieval,
        ranking=stack.ranking,
        evaluation=stack.evaluation,
        seed=stack.seed,
        say=voice.progress,
    )
    result, nothing_to_do = evaluate_stage(job, stage)
    voice.show(retrieval_table(result) if stage == "retrieval" else ranking_table(result))
    state = "nothing to do, up to date" if nothing_to_do else f"done in {result['seconds']:.1f} s"
    path = stack.layout.stage(stage).metrics
    if stage == "retrieval":
        voice.progress(f"plots and slices, for a browser: {stack.layout.stage(stage).report}")
    voice.result(
        f"{stage}: {state}: {path}",
        {"stage": stage, "metrics": str(path), "nothing_to_do": nothing_to_do} | headline(result),
    )
    return result


def headline(result: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The model's and the baselines' numbers without intervals and slices."""
    rows = {"model": result["model"]} | dict(result["baselines"])
    return {name: _numbers(row) for name, row in rows.items()}


def retrieval_table(result: Mapping[str, Any]) -> Table:
    """Models beside each other: metrics with their intervals, a star where the difference to the model is certain."""
    model = result["model"]
    first = f"@{result['cutoffs'][0]}"
    shown = [name for name in model["metrics"] if name.startswith("recall") or name == f"ndcg{first}"]
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


def ranking_table(result: Mapping[str, Any]) -> Table:
    """The ranking model beside its baseline."""
    table = Table(title=f"Ranking on the {result['split']} split: {result['model']['num_examples']:,} labelled events")
    for name in ("model", "AUC", "log loss", "RMSE", "calibration error"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for name, row in {"dcn_v2": result["model"], **result["baselines"]}.items():
        auc = "-" if row["auc"] is None else "{:.4f} [{:.4f}, {:.4f}]".format(row["auc"], *row["auc_interval"])
        table.add_row(name, auc, f"{row['log_loss']:.4f}", f"{row['rmse']:.4f}", f"{row['calibration_error']:.4f}")
    return table


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    if "metrics" in row:
        return {name: interval["value"] for name, interval in row["metrics"].items()} | dict(row["catalogue"])
    return {name: value for name, value in row.items() if isinstance(value, float | int)}


def _interval(interval: Mapping[str, float], test: Mapping[str, Any] | None) -> str:
    star = "*" if test is not None and test["p_value"] < 0.05 else ""
    return f"{interval['value']:.4f}{star}\n{interval['low']:.3f}-{interval['high']:.3f}"
