"""Statistics of numeric features, learnt from the training data only and saved as `statistics.json`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from features.disk.files import write_text_atomically
from features.errors import MEND_DATASET, InputError
from features.serialization import structure, unstructure


@dataclass(frozen=True, kw_only=True)
class NumericStatistics:
    """Statistics of one numeric feature, for its encoder and the data report."""

    count: int
    """Number of values that are present."""
    missing: int
    """Number of values that are null or NaN."""
    mean: float
    """Mean of the present values; 0 when there is none."""
    std: float
    """Population standard deviation of the present values; 0 when they are all equal."""
    minimum: float
    """Smallest present value; 0 when there is none."""
    maximum: float
    """Largest present value; 0 when there is none."""
    quantiles: tuple[float, ...] = ()
    """Inner boundaries of the equal-frequency buckets, strictly increasing; empty unless the feature is bucketed."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Everything learnt from the training data except the vocabularies."""

    num_users: int
    """Number of users with a training interaction."""
    num_items: int
    """Number of items in the catalogue."""
    num_interactions: int
    """Number of positive training interactions."""
    numeric: Mapping[str, NumericStatistics] = field(default_factory=dict)
    """Statistics of the numeric features, by name."""

    def write(self, path: Path) -> None:
        """Writes the statistics as JSON."""
        write_text_atomically(path, json.dumps(unstructure(self), indent=1, sort_keys=True) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Statistics":
        """Reads a file that `write` wrote.

        Raises:
            InputError: The file is missing or was not written by `write`.
        """
        try:
            return structure(json.loads(path.read_text("utf-8")), cls, path.name)
        except (OSError, ValueError) as error:
            raise InputError(f"statistics {path}: cannot be read ({error}); {MEND_DATASET}") from error
