"""Plots the recall/latency curve of an index."""

from pathlib import Path

from trainer.index.report import IndexReport, OperatingPoint


def plot_curve(report: IndexReport, path: Path) -> None:
    """Plots the measured points, the chosen one and the target as SVG; needs no display."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(
        [point.latency_ms for point in report.curve], [point.recall for point in report.curve], s=14, label="measured"
    )
    for point in _chosen(report):
        axes.scatter([point.latency_ms], [point.recall], s=80, facecolors="none", edgecolors="C3", label="chosen")
    axes.axhline(report.target_recall, linestyle="--", linewidth=1, color="grey", label="target")
    axes.set(
        xscale="log",
        xlabel="one query, ms (log scale)",
        ylabel=f"recall@{report.tuned_k}",
        title=f"{report.kind}, {report.num_items:,} items of {report.dim} components",
    )
    axes.legend()
    figure.savefig(path, format="svg", metadata={"Date": None})


def _chosen(report: IndexReport) -> list[OperatingPoint]:
    point = report.parameters
    if point is None:
        return []
    wanted = (point.leaves_to_search, point.num_rescored)
    return [each for each in report.curve if (each.leaves_to_search, each.num_rescored) == wanted][:1]
