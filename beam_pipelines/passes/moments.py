"""Mean, standard deviation and quantiles of a column in pieces, whatever the order in which workers see them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.encoding.statistics import NumericStatistics

_SKETCH_SIZE = 4096


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Statistics of one piece of a column."""

    missing: int
    """Number of NaN values."""
    count: int
    """Number of other values."""
    mean: float
    """Mean of the present values; 0 if there are none."""
    squares: float
    """Sum of squared deviations from the mean."""
    minimum: float
    """Smallest present value; 0 if there are none."""
    maximum: float
    """Largest present value; 0 if there are none."""
    sketch: tuple[float, ...]
    """Present values at equal steps of rank, ascending; all of them if there are at most 4,096."""

    @classmethod
    def of(cls, values: npt.NDArray[np.floating]) -> "Moments":
        """Summarises a piece.

        Args:
            values: `[n]` numbers, NaN where missing.
        """
        present = np.sort(values[~np.isnan(values)]).astype(np.float64)
        size = len(present)
        if size == 0:
            return cls(missing=len(values), count=0, mean=0.0, squares=0.0, minimum=0.0, maximum=0.0, sketch=())
        mean = float(present.mean())
        kept = min(size, _SKETCH_SIZE)
        ranks = ((np.arange(kept) + 0.5) * size / kept).astype(np.int64)
        return cls(
            missing=len(values) - size,
            count=size,
            mean=mean,
            squares=float(np.square(present - mean).sum()),
            minimum=float(present[0]),
            maximum=float(present[-1]),
            sketch=tuple(float(value) for value in present[ranks]),
        )


def numeric_statistics(pieces: Iterable[Moments], num_buckets: int = 0) -> NumericStatistics:
    """Merges the pieces of a column.

    Means and sums of squares are merged by Chan, Golub and LeVeque (1979), equation 2.1. Quantiles are exact if no
    piece has more than 4,096 values; otherwise their rank is off by at most 1/4,096 of each piece.

    Args:
        pieces: Summaries of the pieces.
        num_buckets: Number of buckets of equal frequency; their inner boundaries are returned as quantiles. 0: none.
    """
    several = list(pieces)
    filled = [piece for piece in several if piece.count]
    count, mean, squares = 0, 0.0, 0.0
    for piece in filled:
        distance = piece.mean - mean
        squares += piece.squares + distance**2 * count * piece.count / (count + piece.count)
        mean += distance * piece.count / (count + piece.count)
        count += piece.count
    return NumericStatistics(
        count=count,
        missing=sum(piece.missing for piece in several),
        mean=mean,
        std=float(np.sqrt(squares / count)) if count else 0.0,
        minimum=min((piece.minimum for piece in filled), default=0.0),
        maximum=max((piece.maximum for piece in filled), default=0.0),
        quantiles=_boundaries(filled, num_buckets) if num_buckets and count else (),
    )


def merged_quantiles(pieces: Iterable[Moments], size: int) -> tuple[float, ...]:
    """Values at `size` equal steps of rank over all pieces, ascending; empty if no value is present.

    The first and the last are the minimum and the maximum, which equal steps would skip.
    """
    filled = [piece for piece in pieces if piece.count]
    if not filled:
        return ()
    inner = _at_ranks(filled, (np.arange(1, size - 1) + 0.5) / size)
    ends = min(piece.minimum for piece in filled), max(piece.maximum for piece in filled)
    return (ends[0], *(float(value) for value in inner), ends[1])


def _boundaries(pieces: list[Moments], num_buckets: int) -> tuple[float, ...]:
    """The distinct lower boundaries of all buckets but the first."""
    wanted = np.arange(1, num_buckets) / num_buckets
    return tuple(float(value) for value in np.unique(_at_ranks(pieces, wanted)))


def _at_ranks(pieces: list[Moments], shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The values below which the given shares of all present values lie."""
    values = np.concatenate([piece.sketch for piece in pieces])
    weights = np.concatenate([np.full(len(p.sketch), p.count / len(p.sketch)) for p in pieces])
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    places = np.minimum(np.searchsorted(reached, shares * reached[-1], side="right"), len(values) - 1)
    return np.asarray(values[order][places])
