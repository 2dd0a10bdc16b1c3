"""Shows a person why items have their scores, in factors: ×2 doubles the score, ×0.5 halves it."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from serving.client import Explanation

_MOST_REASONS = 4
_ITEM, _SCORE, _REASON = 17, 10, 20
"""Widths of the columns; with 13 of borders and padding they fill 80. A score of four digits takes up to 10."""
_CAPTION = "× beside an average candidate; the second line of a score is the product of its features"


def reasons_table(explained: "Iterable[Explanation]", titles: Mapping[str, str]) -> Table:
    """One row an item: its score, how many times an average candidate's that is, and the factors that make it up.

    Args:
        explained: What the model answered, best first.
        titles: Titles by item id, as far as they are known.
    """
    table = Table(show_lines=True, caption=_CAPTION)
    table.add_column("item", width=_ITEM, overflow="fold")
    table.add_column("score", width=_SCORE)
    table.add_column("features", width=_REASON, overflow="fold")
    table.add_column("history", width=_REASON, overflow="fold")
    for each in explained:
        item = each.recommendation
        beside = "new" if item.is_explored else _factor(sum(each.features.values()))
        table.add_row(
            Text("\n".join(filter(None, (titles.get(item.item_id), item.item_id)))),
            f"{item.score:.4g}\n{beside}",
            _reasons(each.by_group, {}),
            _reasons(each.history, titles),
        )
    return table


def shown_history(explained: "Iterable[Explanation]") -> set[str]:
    """The items of the history that `reasons_table` shows, whose titles are wanted."""
    return {item_id for each in explained for item_id in _strongest(each.history)}


def as_json(explanation: "Explanation") -> dict[str, object]:
    """The contributions, for a program."""
    return {
        "baseline": explanation.baseline,
        "groups": explanation.by_group,
        "features": dict(explanation.features),
        "history": dict(explanation.history),
    }


def _strongest(contributions: Mapping[str, float]) -> list[str]:
    told = [name for name, value in contributions.items() if value]
    return sorted(told, key=lambda name: -abs(contributions[name]))[:_MOST_REASONS]


def _reasons(contributions: Mapping[str, float], titles: Mapping[str, str]) -> Text:
    """The strongest contributions as factors, one a line, and the product of the others."""
    chosen = _strongest(contributions)
    lines = [f"{_factor(contributions[name])} {titles.get(name) or name}" for name in chosen]
    others = [value for name, value in contributions.items() if value and name not in chosen]
    if others:
        lines.append(f"{_factor(sum(others))} {len(others)} more")
    return Text("\n".join(lines))


def _factor(contribution: float) -> str:
    factor = math.exp(contribution)
    return f"×{factor:.3g}" if factor >= 100 else f"×{factor:.2f}"
