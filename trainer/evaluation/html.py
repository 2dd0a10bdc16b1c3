"""`report.html`: what `metrics.json` of retrieval or of the cascade says, as plots and tables; no outside parts."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

from features.disk.files import write_text_atomically
from trainer.evaluation.ranker_html import ranker_parts

Result: TypeAlias = Mapping[str, Any]

# Means over queries, in the order of the plots; the other metrics are in the table alone.
_PLOTTED = ("recall", "ndcg")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; max-width: 980px; margin: 0 auto; padding: 24px 16px; }
table { border-collapse: collapse; margin: 8px 0 24px; display: block; overflow-x: auto; }
th, td { padding: 4px 12px; text-align: right; border-top: 1px solid #e5e7eb; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
small { color: #6b7280; }
pre { overflow-x: auto; }
svg { width: 100%; height: auto; }
"""


def write_report(result: Result, path: Path) -> None:
    """Writes the report of a retrieval evaluation.

    Args:
        result: Content of `metrics.json`.
        path: Path of the report.
    """
    write_page(f"Retrieval on the {result['split']} split", retrieval_parts(result), path)


def retrieval_parts(result: Result) -> list[str]:
    """The plots and tables of a retrieval evaluation, from the content of `metrics.json`."""
    model = result["model"]
    introduction = (
        f"<p>{model['num_queries']:,} queries over the full catalogue with {model['num_targets']:,} targets, of which "
        f"{model['num_unreachable_targets']:,} are in no catalogue. Lines and ranges are bootstrap intervals over "
        "users; * differs from the model (paired t-test, p below 0.05).</p>"
    )
    tuned = "<h2>Parameters that validation chose for the baselines</h2>" + _tuned(result)
    return [introduction, *_parts(result), tuned]


def write_cascade_report(result: Result, path: Path) -> None:
    """Writes the report of the cascade, in the order that is served, beside retrieval's order and the list ranker's.

    Args:
        result: Content of `metrics.json`.
        path: Path of the report.
    """
    write_page(f"Cascade on the {result['split']} split", cascade_parts(result), path)


def cascade_parts(result: Result) -> list[str]:
    """The plots and tables of an evaluation of the cascade, from the content of `metrics.json`."""
    served = "the list ranker's order" if result["ranks"] else "retrieval's order"
    introduction = (
        f"<p>{result['model']['num_queries']:,} queries; all orders are over the same candidates of retrieval. Served: "
        f"{served} ({escape(result['reason'])}). Lines and ranges are bootstrap intervals over users; * differs from "
        "what is served (paired t-test, p below 0.05).</p>"
    )
    by_label = [_by_label(task, metrics) for task, metrics in result["by_label"].items()]
    diversity = _diversity(result["diversity"], min(result["cutoffs"]))
    return [introduction, *_parts(result), *by_label, diversity, *ranker_parts(result)]


def write_page(title: str, parts: Sequence[str], path: Path) -> None:
    """Writes a page without outside parts.

    Args:
        title: Plain text.
        parts: HTML.
        path: Path of the page.
    """
    title = escape(title)
    screen = "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    head = f"<!doctype html><html lang='en'><meta charset='utf-8'>{screen}<title>{title}</title><style>{_STYLE}</style>"
    write_text_atomically(path, "\n".join([head, f"<h1>{title}</h1>", *parts]) + "\n</html>\n")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain texts."""
    body = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<table><tr>{names}</tr>{''.join(f'<tr>{cells}</tr>' for cells in body)}</table>"


def _parts(result: Result) -> list[str]:
    return [
        f"<h2>By the length of the list</h2>{_plot_by_cutoff(result)}",
        f"<h2>By part</h2>{_plot_slices(result)}",
        "<p>A slice of users (<i>user</i>, <i>history</i>) holds their queries; a slice of items judges by the targets "
        "in it alone, so <i>item: cold</i> says how well items without training events are found.</p>",
        "<h2>All metrics</h2>" + _table(_metric_rows(result), result),
        "<h2>What the lists show of the catalogue</h2>" + _table(_catalogue_rows(result), result),
    ]


def _by_label(task: str, metrics: Result) -> str:
    """The order that is served beside retrieval's, judged by the targets that are positive for one task alone."""
    body = (
        f"<tr><td>{name}</td><td>{row['cascade']:.4f}</td><td>{row['retrieval']:.4f}</td>"
        f"<td>{_signed(row['difference'])}</td></tr>"
        for name, row in metrics.items()
    )
    head = "<tr><th></th><th>cascade</th><th>retrieval</th><th>paired difference</th></tr>"
    return f"<h2>Judged by positive {escape(task)} alone</h2><table>{head}{''.join(body)}</table>"


def _diversity(curves: Result, cutoff: int) -> str:
    """What re-ranking for diversity costs and brings, by kind and strength."""
    names = [name for name in next(iter(curves.values()))[0] if name not in ("strength", "ndcg", "distance")]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = (
        f"<tr><td>{escape(kind)} {row['strength']:g}</td><td>{row['ndcg']:.4f}</td><td>{row['distance']:.3f}</td>"
        + "".join(f"<td>{row[name]:.2f}</td>" for name in names)
        + "</tr>"
        for kind, rows in curves.items()
        for row in rows
    )
    return (
        f"<h2>What diversity costs</h2><p>The served lists re-ranked by each kind and strength: NDCG@{cutoff} beside "
        f"the mean cosine distance of the pairs among the first {cutoff} items, and distinct values of item features "
        f"among them.</p>{_plot_diversity(curves)}<table><tr><th></th><th>ndcg</th><th>distance</th>{head}</tr>"
        f"{''.join(body)}</table>"
    )


def _plot_diversity(curves: Result) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for number, (kind, rows) in enumerate(curves.items()):
        distances, ndcg = ([row[name] for row in rows] for name in ("distance", "ndcg"))
        axes.plot(distances, ndcg, "o-", markersize=4, label=kind, color=f"C{number}")
        for row in rows:
            axes.annotate(f"{row['strength']:g}", (row["distance"], row["ndcg"]), fontsize=7, color=f"C{number}")
    axes.set(xlabel="mean distance of the items of a list", ylabel="NDCG", ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=5, frameon=False)
    return svg(figure)


def _signed(interval: Result) -> str:
    return f"{interval['value']:+.4f}<br><small>{interval['low']:+.4f} to {interval['high']:+.4f}</small>"


def _models(result: Result) -> dict[str, Result]:
    return {result["model"]["model"]: result["model"], **result["baselines"]}


def _plot_by_cutoff(result: Result) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    cutoffs = result["cutoffs"]
    places = range(len(cutoffs))
    models = _models(result)
    for axes, metric in zip(figure.subplots(1, len(_PLOTTED)), _PLOTTED, strict=True):
        for number, (name, row) in enumerate(models.items()):
            intervals = [row["metrics"][f"{metric}@{k}"] for k in cutoffs]
            shifted = [place + _shift(number, len(models)) for place in places]
            _errorbar(axes, shifted, intervals, name, f"C{number}")
        axes.set(xticks=list(places), xticklabels=[f"@{k}" for k in cutoffs], title=metric, ylim=(0, None))
        axes.grid(axis="y", alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False)
    return svg(figure)


def _plot_slices(result: Result) -> str:
    from matplotlib.figure import Figure

    metric = f"recall@{result['cutoffs'][0]}"
    models = _models(result)
    names = [name for name, part in result["model"]["slices"].items() if part["num_queries"]]
    figure = Figure(figsize=(9, 0.9 + 0.36 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for number, (name, row) in enumerate(models.items()):
        intervals = [row["slices"][part]["metrics"][metric] for part in names]
        places = [place + _shift(number, len(models)) for place in range(len(names))]
        _errorbar(axes, places, intervals, name, f"C{number}", sideways=True)
    labels = [f"{name} ({result['model']['slices'][name]['num_targets']:,} targets)" for name in names]
    axes.set(yticks=range(len(names)), yticklabels=labels, xlabel=metric, xlim=(0, None))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=5, frameon=False)
    return svg(figure)


def _shift(number: int, models: int) -> float:
    """Keeps the models of one place beside each other."""
    return 0.7 * (number - (models - 1) / 2) / models


def _errorbar(
    axes: Any, places: Sequence[float], intervals: Sequence[Result], label: str, colour: str, *, sideways: bool = False
) -> None:
    values = [each["value"] for each in intervals]
    # A percentile interval may leave its value out by a rounding.
    below = [max(each["value"] - each["low"], 0.0) for each in intervals]
    above = [max(each["high"] - each["value"], 0.0) for each in intervals]
    style = {"fmt": "o", "markersize": 4, "capsize": 2, "label": label, "color": colour}
    if sideways:
        axes.errorbar(values, places, xerr=[below, above], **style)
    else:
        axes.errorbar(places, values, yerr=[below, above], **style)


def _metric_rows(result: Result) -> Iterator[tuple[str, list[str]]]:
    models = _models(result)
    for metric in result["model"]["metrics"]:
        cells = []
        for name, row in models.items():
            interval, test = row["metrics"][metric], result["versus"].get(name, {}).get(metric)
            star = "*" if test is not None and test["p_value"] < 0.05 else ""
            cells.append(
                f"{interval['value']:.4f}{star}<br><small>{interval['low']:.4f}-{interval['high']:.4f}</small>"
            )
        yield metric, cells


def _catalogue_rows(result: Result) -> Iterator[tuple[str, list[str]]]:
    for metric in result["model"]["catalogue"]:
        yield metric, [f"{row['catalogue'][metric]:.4f}" for row in _models(result).values()]


def _table(rows: Iterator[tuple[str, list[str]]], result: Result) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in _models(result))
    body = (f"<tr><td>{name}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for name, cells in rows)
    return f"<table><tr><th></th>{head}</tr>{''.join(body)}</table>"


def _tuned(result: Result) -> str:
    lines = [
        f"<li>{escape(name)}: {escape(', '.join(f'{key} {value}' for key, value in fields.items()) or 'none')}</li>"
        for name, fields in result["tuned"].items()
    ]
    return f"<ul>{''.join(lines)}</ul>"


def svg(figure: Any) -> str:
    """A figure as it stands in a page."""
    import matplotlib as mpl

    text = io.StringIO()
    # Texts stay texts, and the same numbers give the same bytes.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "recstack"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]
