"""A plot of what `peers.py` measured: the best validation so far over the seconds since a system's process started."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

Points: TypeAlias = Sequence[tuple[float, float]]
"""Seconds and validation of each epoch, in order."""


def plot_courses(courses: Mapping[str, Points], metric: str, path: Path) -> None:
    """Writes a step line for each system, with a dot where an epoch ended, as SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, points in courses.items():
        seconds, validation = np.array(points, float).T
        axes.plot(seconds, np.maximum.accumulate(validation), marker=".", drawstyle="steps-post", label=name)
    axes.set(xscale="log", xlabel="seconds since the process started", ylabel=f"best validation {metric} so far")
    axes.grid(visible=True, alpha=0.3)
    if courses:
        axes.legend()
    figure.savefig(path, format="svg", metadata={"Date": None})
