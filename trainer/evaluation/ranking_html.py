"""`report.html` of the ranking model: metrics of each task beside baselines, and how far its chances are right."""

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

from trainer.evaluation.html import svg, write_page

Result: TypeAlias = Mapping[str, Any]


def write_ranking_report(result: Result, path: Path) -> None:
    """Writes the report.

    Args:
        result: Content of `metrics.json`.
        path: Path of the report.
    """
    write_page(f"Ranking on the {result['split']} split", ranking_parts(result), path)


def ranking_parts(result: Result) -> list[str]:
    """The plots and tables of each task, from the content of `metrics.json`."""
    return [part for task, judged in result["tasks"].items() for part in _task(task, judged)]


def _task(name: str, judged: Result) -> Iterator[str]:
    models = {"model": judged["model"], **judged["baselines"]}
    yield f"<h2>{escape(name)}: {judged['model']['num_examples']:,} labelled events</h2>{_table(models)}"
    if "reliability" in judged["model"]:
        yield (
            f"<h3>Predicted and observed chances</h3><p>Calibration that validation chose: {judged['calibration']}. "
            "Each point is a tenth of the events, by predicted chance; on the diagonal, predictions came true.</p>"
            f"{_reliability(models)}"
        )


def _table(models: Mapping[str, Result]) -> str:
    names = [name for name, value in models["model"].items() if isinstance(value, float)]
    head = "".join(
        f"<th>{escape(name.replace('_', ' '))}</th>" for name in (*names, "error of the model minus its own")
    )
    body = "".join(
        f"<tr><td>{escape(model)}</td>"
        + "".join(f"<td>{_cell(row, name)}</td>" for name in names)
        + f"<td>{_difference(row.get('difference'))}</td></tr>"
        for model, row in models.items()
    )
    return f"<table><tr><th></th>{head}</tr>{body}</table>"


def _cell(row: Result, name: str) -> str:
    value, interval = row[name], row.get(f"{name}_interval")
    if value is None:
        return "-"
    return f"{value:.4f}" + (f"<br><small>{interval[0]:.4f}-{interval[1]:.4f}</small>" if interval else "")


def _difference(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return ""
    return f"{interval['value']:+.4f}<br><small>{interval['low']:+.4f} to {interval['high']:+.4f}</small>"


def _reliability(models: Mapping[str, Result]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#9ca3af", linewidth=1)
    for number, (name, row) in enumerate(models.items()):
        predicted, observed = ([each[side] for each in row["reliability"]] for side in ("predicted", "observed"))
        axes.plot(predicted, observed, "o-", markersize=4, linewidth=1, label=name, color=f"C{number}")
    axes.set(xlabel="predicted chance", ylabel="share with a positive label", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return svg(figure)
