"""`recstack compare`: two runs side by side, over the same queries."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import tyro
from rich.table import Table

from recstack.arguments import StackArguments, parse
from recstack.console import Voice
from recstack.retraining.comparison import ComparedMetric, Comparison, Difference, compare_runs

_SHOWN_OF_ID = 8


@dataclass(frozen=True, kw_only=True)
class CompareArguments(StackArguments):
    """Judges retrieval and cascade of two runs on the present dataset, and says what else differs."""

    first: tyro.conf.Positional[str] = "current"
    """Id of a run or its beginning, as `recstack runs` lists them, or `current`."""
    second: tyro.conf.Positional[str] = "current"
    """Likewise."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(CompareArguments, "compare", arguments)
    compare(parsed, Voice("compare", as_json=parsed.json))
    return 0


def compare(arguments: CompareArguments, voice: Voice) -> Comparison:
    """Compares two runs, shows the tables and returns the comparison.

    Raises:
        InputError: a run or the dataset is missing, both are the same, or they have other features.
    """
    found = compare_runs(arguments.stack, arguments.first, arguments.second, voice.progress)
    for title, rows in (("Settings", found.settings), ("Data", found.counts)):
        if rows:
            voice.show(_differences(title, rows, found))
    if found.drift:
        voice.show(_drift(found.drift))
    voice.show(_metrics("Retrieval", found.metrics, found))
    if found.cascade:
        voice.show(_metrics("Recommender", found.cascade, found))
    voice.show(_samples(found))
    for run in found.trained_elsewhere:
        voice.progress(f"run {run} was trained on another dataset than the present one, whose queries judge both")
    voice.result(
        f"{found.second.id} against {found.first.id} on {found.num_queries:,} queries of the {found.split} split",
        _as_json(found),
    )
    return found


def _differences(title: str, rows: Sequence[Difference], found: Comparison) -> Table:
    table = Table(title, *_names(found))
    for row in rows:
        table.add_row(row.name, _shown(row.first), _shown(row.second))
    return table


def _drift(stability: Mapping[str, float]) -> Table:
    table = Table("Feature", "drift", title="Stability index of the data", title_justify="left")
    for name, value in sorted(stability.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{value:.4f}")
    return table


def _metrics(title: str, metrics: Mapping[str, ComparedMetric], found: Comparison) -> Table:
    table = Table(title, *_names(found), "difference", "p")
    for name, metric in metrics.items():
        difference = metric.test.difference
        table.add_row(
            name,
            f"{metric.first:.4f}",
            f"{metric.second:.4f}",
            f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]",
            f"{metric.test.p_value:.2g}",
        )
    return table


def _samples(found: Comparison) -> Table:
    """What both models recommend to a few users; * is what these interacted with next."""
    table = Table("User", *_names(found), title="Sample users, * interacted with next", title_justify="left")
    for user in found.samples.users:
        lists = (
            "\n".join(f"{found.samples.title(item)}{' *' if item in user.wanted else ''}" for item in items)
            for items in (user.before, user.after)
        )
        table.add_row(user.name, *lists, end_section=True)
    return table


def _names(found: Comparison) -> tuple[str, str]:
    """Beginnings of both ids, which commands take as well."""
    return found.first.id[:_SHOWN_OF_ID], found.second.id[:_SHOWN_OF_ID]


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _as_json(found: Comparison) -> Mapping[str, Any]:
    return {
        "first": found.first.id,
        "second": found.second.id,
        "split": found.split,
        "num_queries": found.num_queries,
        "settings": [asdict(row) for row in found.settings],
        "counts": [asdict(row) for row in found.counts],
        "metrics": {name: asdict(metric) for name, metric in found.metrics.items()},
        "cascade": {name: asdict(metric) for name, metric in found.cascade.items()},
        "drift": dict(found.drift),
        "samples": [asdict(user) for user in found.samples.users],
        "trained_on_another_dataset": list(found.trained_elsewhere),
    }
