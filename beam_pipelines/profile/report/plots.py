"""Plots as SVG texts. The same numbers give the same bytes."""

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from beam_pipelines.passes.profile_facts import Counts, bucket_name
from beam_pipelines.passes.time_histogram import TimeHistogram
from beam_pipelines.profile.dataset_profile import SplitProfile

COLOURS = {"train": "#4269d0", "validation": "#efb118", "test": "#ff725c"}
_GREY = "#6b7280"
_BARS = 80
_ABOVE, _RIGHT, _BELOW_BUCKETS = 0.3, 0.1, 1.05  # inches
# A log whose times end before 1975 has positions, not times.
FIRST_TIME = 157_766_400

_STYLE = {
    "svg.fonttype": "none",  # texts stay texts: small, and in the reader's font
    "svg.hashsalt": "recstack",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9ca3af",
    "axes.labelcolor": _GREY,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
}


def events_over_time(splits: Mapping[str, SplitProfile]) -> str:
    """Stacked bars of the events of each split."""
    filled = {name: split.times for name, split in splits.items() if split.times.counts}
    if not filled:
        return ""
    merged = TimeHistogram.merged(filled.values()).coarsened(_BARS)
    first, last = merged.intervals[0], merged.intervals[-1]
    width = 1 << merged.log2_seconds
    seconds = (np.arange(first, last + 2) * width).astype(np.float64)
    figure, axes = _figure(8.6, 2.55, left=0.8, below=0.45)
    is_time = seconds[-1] > FIRST_TIME
    places = date2num([datetime.fromtimestamp(s, UTC) for s in seconds]) if is_time else seconds
    bottom = np.zeros(last - first + 1)
    for name, times in filled.items():
        heights = np.zeros(len(bottom))
        np.add.at(
            heights, (np.array(times.intervals) >> (merged.log2_seconds - times.log2_seconds)) - first, times.counts
        )
        axes.stairs(bottom + heights, places, baseline=bottom, fill=True, color=COLOURS[name], label=name)
        bottom += heights
    if is_time:
        locator = AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_ylabel(f"events in {_duration(width)}" if is_time else "events")
    axes.yaxis.set_major_formatter(_THOUSANDS)
    axes.margins(x=0.01)
    axes.legend(loc="upper left", ncols=3, bbox_to_anchor=(0, 1.18), frameon=False)
    return _svg(figure)


def popularity(counts: npt.NDArray[np.int64]) -> str:
    """Training interactions of each item, the most frequent first, on logarithmic axes."""
    ordered = np.sort(counts[counts > 0])[::-1]
    if not len(ordered):
        return ""
    # A curve of a million points says no more than one of some hundred.
    ranks = np.unique(np.geomspace(1, len(ordered), 200).astype(np.int64))
    figure, axes = _figure(4.2, 2.6)
    axes.loglog(ranks, ordered[ranks - 1], color=COLOURS["train"], linewidth=2)
    axes.set_xlabel("items by rank")
    axes.set_ylabel("training interactions")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(_THOUSANDS)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    return _svg(figure)


def concentration(counts: npt.NDArray[np.int64]) -> str:
    """Share of the training interactions that the most frequent items have."""
    ordered = np.sort(counts)[::-1]
    if not ordered.sum():
        return ""
    share = np.concatenate([[0.0], np.cumsum(ordered) / ordered.sum()])
    places = np.unique(np.linspace(0, len(ordered), 200).astype(np.int64))
    figure, axes = _figure(4.2, 2.6)
    axes.plot(100 * places / len(ordered), 100 * share[places], color=COLOURS["train"], linewidth=2)
    axes.plot([0, 100], [0, 100], color="#9ca3af", linewidth=1, linestyle="--")
    axes.set_xlabel("% of the catalogue, most frequent first")
    axes.set_ylabel("% of the interactions")
    axes.margins(0.01)
    axes.grid(alpha=0.3)
    return _svg(figure)


def histories(splits: Mapping[str, SplitProfile]) -> str:
    """How much was known of the user when each target happened, side by side for the splits."""
    filled = {name: split.histories for name, split in splits.items() if sum(split.histories)}
    if not filled:
        return ""
    size = max(map(len, filled.values()))
    figure, axes = _figure(4.2, 3.0, below=_BELOW_BUCKETS)
    width = 0.8 / len(filled)
    for place, (name, counts) in enumerate(filled.items()):
        shares = 100 * np.array(counts) / sum(counts)
        axes.bar(np.arange(len(counts)) + place * width, shares, width, align="edge", color=COLOURS[name], label=name)
    _name_buckets(axes, size, 0.4)
    axes.set_xlabel("interactions before the target")
    axes.set_ylabel("% of the targets")
    axes.legend(loc="upper left", ncols=3, bbox_to_anchor=(0, 1.18), frameon=False)
    return _svg(figure)


def interactions_a_user(counts: Counts) -> str:
    """How many users have how many positive interactions."""
    if not sum(counts):
        return ""
    figure, axes = _figure(4.2, 3.0, below=_BELOW_BUCKETS)
    axes.bar(np.arange(len(counts)), counts, 0.8, color=_GREY)
    _name_buckets(axes, len(counts), 0.0)
    axes.set_xlabel("interactions of the user, all splits")
    axes.set_ylabel("users")
    axes.yaxis.set_major_formatter(_THOUSANDS)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    return _svg(figure)


def missing_values(names: Sequence[str], shares: Sequence[float]) -> str:
    """Bars of the share of missing values, one a feature."""
    if not names:
        return ""
    figure, axes = _figure(8.6, 0.85 + 0.24 * len(names), left=0.3 + 0.07 * max(map(len, names)))
    places = np.arange(len(names))[::-1]
    axes.barh(places, [100 * share for share in shares], 0.7, color=COLOURS["test"])
    for place, share in zip(places, shares, strict=True):
        axes.text(100 * share + 0.7, place, f"{share:.1%}", va="center", color=_GREY, fontsize=8)
    axes.set_yticks(places, names)
    axes.set_xlim(0, 108)
    axes.set_xlabel("% missing")
    return _svg(figure)


_THOUSANDS = FuncFormatter(lambda value, _: f"{value:,.0f}")


def _name_buckets(axes: Axes, size: int, offset: float) -> None:
    axes.set_xticks(
        np.arange(size) + offset, [bucket_name(n) for n in range(size)], rotation=45, ha="right", fontsize=8
    )


def _duration(seconds: int) -> str:
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds} seconds"


def _figure(width: float, height: float, *, left: float = 0.7, below: float = 0.5) -> tuple[Figure, Axes]:
    """An empty plot of so many inches; margins are fixed, since measuring texts takes longer than drawing them."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        box = (left / width, below / height, 1 - (left + _RIGHT) / width, 1 - (below + _ABOVE) / height)
        return figure, figure.add_axes(box)


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    with mpl.rc_context(_STYLE):
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    # Without the head of a file of its own: it stands inside a page.
    found = text.getvalue()
    return found[found.index("<svg") :]
