"""What a run's page says of the run itself: what changed, drift, learning curves, metrics and the index.

A retraining keeps it beside its record, since runs and datasets go; later reports of the retraining include it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

from features.disk.exported import ExtraLayout
from features.disk.files import write_text_atomically
from features.disk.layout import ModelName, RetrainingLayout, RunLayout, StageLayout, StageName, Workdir
from features.disk.manifest import Manifest, read_manifest
from features.errors import InputError
from recstack.retraining.comparison import Difference, config_of, deciding_settings, differences
from recstack.retraining.gate.decision import read_decision
from recstack.retraining.record import RetrainingRecord
from recstack.retraining.report import write_retraining_report
from trainer.evaluation.html import cascade_parts, retrieval_parts, svg, table, write_page
from trainer.evaluation.ranking_html import ranking_parts

_INDEXED: ModelName = "retrieval"
_CURVES = ("loss", "ndcg", "recall")
_EVALUATIONS: Mapping[StageName, tuple[str, Callable[[Mapping[str, Any]], list[str]]]] = {
    "retrieval": ("Retrieval", retrieval_parts),
    "ranking": ("The ranking model", ranking_parts),
    "list_ranking": ("The cascade", cascade_parts),
}


def write_run_report(workdir: Workdir, run: RunLayout, record: RetrainingRecord | None) -> Path:
    """Writes the page of a run, with the gate's verdicts and sample users if a retraining made it.

    Args:
        workdir: of the recommender.
        run: finished and, as far as its metrics are shown, evaluated.
        record: of its last retraining; None if it was trained by hand.

    Returns:
        The path of the page.
    """
    layout = workdir.retrainings.retraining(record.id) if record is not None else None
    parent = workdir.runs.run(record.parent) if record is not None and record.parent else None
    parts = run_details(run, parent, _exported(workdir, layout, record))
    decision = read_decision(layout.gate) if layout is not None else None
    if layout is None or record is None or decision is None:
        write_page(f"Run {run.id}", parts, run.report)
        return run.report
    write_text_atomically(layout.run_details, "\n".join(parts) + "\n")
    write_retraining_report(layout, record, decision)
    return layout.report


def _exported(workdir: Workdir, layout: RetrainingLayout | None, record: RetrainingRecord | None) -> ExtraLayout | None:
    """The files beside the run's exported retrieval model: the staged one, or the one that it was published as."""
    if layout is None or record is None:
        return None
    staged, published = layout.staged.model(_INDEXED), record.published.get(_INDEXED)
    if staged.current is not None:
        return staged.extra(staged.current)
    return workdir.model(_INDEXED).extra(published) if published is not None else None


def run_details(run: RunLayout, parent: RunLayout | None, exported: ExtraLayout | None) -> list[str]:
    """What is known of the run itself, as HTML without head and end.

    Args:
        run: finished.
        parent: the run before; None if there is none.
        exported: files beside the exported model whose index has a curve; None if there is none.
    """
    return [*_changes(run, parent), *_drift(run), *_learning(run), *_evaluations(run), *_index(exported)]


def _changes(run: RunLayout, parent: RunLayout | None) -> Iterator[str]:
    """Settings and counts that differ from the run before."""
    yield "<h2>What changed since the run before</h2>"
    try:
        if parent is None:
            raise InputError("There was none.")
        configs = [deciding_settings(config_of(each)) for each in (parent, run)]
    except InputError as error:
        yield f"<p>{escape(str(error))}</p>"
        return
    counts = [_dataset(each).counts for each in (parent, run)]
    rows = [*differences(configs[0], configs[1]), *differences(counts[0], counts[1])]
    yield table(("", "before", "now"), map(_cells, rows)) if rows else "<p>Nothing.</p>"


def _cells(row: Difference) -> tuple[str, ...]:
    return row.name, _shown(row.first), _shown(row.second)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


def _drift(run: RunLayout) -> Iterator[str]:
    """How the dataset differs from the one that it replaced."""
    drift: Mapping[str, Any] = _dataset(run).metrics.get("drift", {})
    if not drift:
        return
    yield (
        "<h2>Drift of the data</h2><p>Population stability index of each feature against the dataset before: below 0.1 "
        "is stable, above 0.25 another distribution.</p>"
    )
    stability = sorted(drift["stability"].items(), key=lambda item: -item[1])
    yield table(("feature", "index"), ((name, f"{value:.4f}") for name, value in stability))
    rows = (
        (name, f"{each['before']:,}", f"{each['now']:,}", f"{each['new']:.1%}", f"{each['vanished']:.1%}")
        for name, each in ((name, drift[name]) for name in ("users", "items"))
    )
    yield table(("", "before", "now", "new", "vanished"), rows)


def _learning(run: RunLayout) -> Iterator[str]:
    """Loss and validation metrics over the steps of each stage, from TensorBoard's files."""
    for name in run.finished():
        curves = _curves(run.stage(name))
        if curves:
            yield f"<h2>Training of {name.replace('_', ' ')}</h2>{_plot(curves)}"


def _curves(stage: StageLayout) -> dict[str, dict[int, float]]:
    """Values by step of the loss and of the first metrics on validation."""
    import tensorflow as tf
    from tensorflow.core.util.event_pb2 import Event

    found: dict[str, dict[int, float]] = {}
    for path in sorted(stage.tensorboard.glob("events.out.*")):
        with suppress(tf.errors.OpError):  # the end of a file whose writer was killed
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                event = Event.FromString(record)
                for value in event.summary.value:
                    if value.HasField("tensor"):
                        found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    wanted = [next((tag for tag in found if tag.removeprefix("validation/").startswith(name)), "") for name in _CURVES]
    return {tag.removeprefix("validation/"): found[tag] for tag in wanted if tag}


def _plot(curves: Mapping[str, Mapping[int, float]]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.8), layout="constrained")
    for axes, (name, values) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        axes.plot(list(values), list(values.values()), "o-", markersize=3)
        axes.set(title=name, xlabel="step")
        axes.grid(alpha=0.3)
    return svg(figure)


def _evaluations(run: RunLayout) -> Iterator[str]:
    """The evaluation of each stage, with intervals, baselines and slices."""
    for name in run.finished():
        try:
            result = json.loads(run.stage(name).metrics.read_text("utf-8"))
        except (OSError, ValueError):  # not evaluated
            continue
        title, parts = _EVALUATIONS[name]
        yield f"<h2>{title} on the {escape(result['split'])} split</h2>"
        yield from (part.replace("h2>", "h3>") for part in parts(result))


def _index(extra: ExtraLayout | None) -> Iterator[str]:
    """Recall and latency of the exported index."""
    if extra is not None and extra.curve.exists():
        _, start, drawing = extra.curve.read_text("utf-8").partition("<svg")
        yield f"<h2>Recall and latency of the index</h2>{start}{drawing}"


def _dataset(run: RunLayout) -> Manifest:
    """The manifest of the dataset that the run keeps; an empty one in a run that was damaged."""
    try:
        return read_manifest(run.stage("retrieval").dataset.manifest, "dataset")
    except InputError:
        return Manifest(kind="dataset", schema_fingerprint="", inputs={})
