"""The scale of a column of ratings, and the value on it that is no rating."""

from collections.abc import Mapping

import numpy as np

_MOST_LEVELS = 101


def rating_levels(ratings: np.ndarray, most: int = _MOST_LEVELS) -> dict[str, int]:
    """How often each rating occurs; empty if there are too many for a scale.

    Args:
        ratings: `[rows]` float, none missing.
        most: different ratings that a scale may have.
    """
    levels, counts = np.unique(ratings, return_counts=True)
    if len(levels) > most:
        return {}
    return {f"{level:g}": int(count) for level, count in zip(levels, counts, strict=True)}


def not_rated(counts: Mapping[str, int]) -> float | None:
    """The lone value that is likely to mean "not rated", such as -1 before 1 to 10; None where there is none.

    It is a lowest value below zero where the others are not, further from the next value than those are from each
    other, or a zero that is more frequent than any rating; or a highest one that lies further above the others than
    these are apart, such as 99 over -10 to 10.

    Args:
        counts: How often each rating occurs, as `rating_levels` has them.
    """
    levels = sorted(map(float, counts))
    if len(levels) < 4:
        return None
    steps = np.diff(levels)
    if steps[-1] > levels[-2] - levels[0]:
        return levels[-1]
    lowest, following = levels[0], levels[1]
    # Of more values than a scale has, any two may lie close.
    is_apart = len(levels) <= _MOST_LEVELS and steps[0] > 1.5 * float(np.median(steps[1:]))
    is_frequent_zero = lowest == 0 and counts[f"{lowest:g}"] > max(n for level, n in counts.items() if float(level))
    return lowest if lowest < 0 <= following or is_apart or is_frequent_zero else None
