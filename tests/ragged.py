"""Ragged rows written as lists."""

from collections.abc import Iterable, Sequence

import numpy as np

from trainer.metrics.protocol import Ragged


def ragged(rows: Iterable[Sequence[int]]) -> Ragged:
    arrays = [np.asarray(row, dtype=np.int64) for row in rows]
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    return Ragged.from_lengths(lengths, np.concatenate([*arrays, np.empty(0, np.int64)]))
