"""What an evaluation is made of: interactions to fit on, and queries with histories and targets to be judged by.

Users and items are integer rows here: `user row` and `item row` count from 0 in the order of the dataset's
vocabularies. Nothing in this package knows about schemas, files or TensorFlow.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Int = npt.NDArray[np.int64]
Float = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

UNKNOWN = -1
"""The row of a user that train does not hold, or of a target that is not in the catalogue."""


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths: row `r` is `values[indptr[r]:indptr[r + 1]]`."""

    indptr: Int
    """`[rows + 1] int64`, not decreasing, from 0 to the number of values."""
    values: Int
    """`[total] int64`."""

    def __post_init__(self) -> None:
        if self.indptr.ndim != 1 or len(self.indptr) == 0 or self.indptr[0] != 0:
            raise ValueError("indptr must be one-dimensional and start at 0")
        if self.indptr[-1] != len(self.values) or np.any(np.diff(self.indptr) < 0):
            raise ValueError(f"indptr must not decrease and must end at {len(self.values)}, the number of values")

    @classmethod
    def from_lengths(cls, lengths: Int, values: Int) -> "Ragged":
        """Cuts `values` into rows of the given `lengths` (`[rows] int64`)."""
        return cls(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), values.astype(np.int64))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @cached_property
    def lengths(self) -> Int:
        """`[rows] int64`: the number of values of each row."""
        return np.diff(self.indptr)

    @cached_property
    def row_of_value(self) -> Int:
        """`[total] int64`: the row that each value belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    def slice(self, start: int, stop: int) -> "Ragged":
        """The rows from `start` up to `stop`."""
        indptr = self.indptr[start : stop + 1]
        return Ragged(indptr - indptr[0], self.values[indptr[0] : indptr[-1]])

    def take(self, rows: Int) -> "Ragged":
        """The given rows (`[n] int64`), in the given order."""
        lengths = self.lengths[rows]
        starts = np.repeat(self.indptr[rows] - (np.cumsum(lengths) - lengths), lengths)
        return Ragged.from_lengths(lengths, self.values[starts + np.arange(lengths.sum())])

    def where(self, keep: Bool) -> "Ragged":
        """The same rows with only those values for which `keep` (`[total] bool`) is true."""
        lengths = np.bincount(self.row_of_value[keep], minlength=len(self))
        return Ragged.from_lengths(lengths, self.values[keep])

    def among(self, rows: Int) -> "Ragged":
        """Keeps the values that are in `rows` (`[n] int64`, ascending, not empty), each as its place in `rows`."""
        places = np.searchsorted(rows, self.values).clip(max=len(rows) - 1)
        return Ragged(self.indptr, places).where(rows[places] == self.values)

    def distinct(self) -> "Ragged":
        """Each row with its values ascending and once each; `UNKNOWN` values are different things and all stay."""
        order = np.lexsort((self.values, self.row_of_value))
        values, rows = self.values[order], self.row_of_value[order]
        repeated = (np.diff(values, prepend=-2) == 0) & (np.diff(rows, prepend=-1) == 0) & (values != UNKNOWN)
        return Ragged(self.indptr, values).where(~repeated)


def order_of_events(user_rows: Int, timestamps: Int) -> Int:
    """`[events] int64`: events by user and time; those of one user at the same second keep the order they came in."""
    return np.lexsort((timestamps, user_rows))


@dataclass(frozen=True, kw_only=True)
class Interactions:
    """The train events, which baselines are fitted on; sorted by user and, within a user, by time."""

    user_rows: Int
    """`[events] int64`."""
    item_rows: Int
    """`[events] int64`."""
    timestamps: Int
    """`[events] int64`: seconds since 1970, UTC."""
    weights: Float
    """`[events] float32`: positive; 1 where the data has no weight."""
    num_users: int
    """Users in the vocabulary."""
    num_items: int
    """Items in the catalogue."""
    context: Int | None = None
    """`[events] int64`, 0 or more: the value of a query feature, such as the country, at each event; None without
    such a feature."""

    def __post_init__(self) -> None:
        if not len(self.user_rows) == len(self.item_rows) == len(self.timestamps) == len(self.weights):
            raise ValueError("user_rows, item_rows, timestamps and weights must have one value an event")
        if self.context is not None and len(self.context) != len(self.user_rows):
            raise ValueError("context must have one value an event")
        _require_rows("user_rows", self.user_rows, 0, self.num_users)
        _require_rows("item_rows", self.item_rows, 0, self.num_items)
        same_user = np.diff(self.user_rows) == 0
        if np.any(np.diff(self.user_rows) < 0) or np.any(np.diff(self.timestamps)[same_user] < 0):
            raise ValueError("events must be sorted by user and time: build them by Interactions.from_events")

    @classmethod
    def from_events(
        cls,
        user_rows: Int,
        item_rows: Int,
        timestamps: Int,
        *,
        weights: Float | None = None,
        num_users: int,
        num_items: int,
    ) -> "Interactions":
        """Sorts events in any order; events of one user at the same second keep the order they came in."""
        order = order_of_events(user_rows, timestamps)
        given = np.ones(len(user_rows), np.float32) if weights is None else weights.astype(np.float32)
        return cls(
            user_rows=user_rows[order].astype(np.int64),
            item_rows=item_rows[order].astype(np.int64),
            timestamps=timestamps[order].astype(np.int64),
            weights=given[order],
            num_users=num_users,
            num_items=num_items,
        )

    @cached_property
    def matrix(self) -> sp.csr_array:
        """`[num_users, num_items] float32`, sparse: the summed weights of each pair."""
        pairs = (self.user_rows, self.item_rows)
        return sp.csr_array((self.weights, pairs), shape=(self.num_users, self.num_items), dtype=np.float32)

    @cached_property
    def binary_matrix(self) -> sp.csr_array:
        """`[num_users, num_items] float32`, sparse: 1 for each pair that occurs."""
        binary = self.matrix.copy()
        binary.data[:] = 1.0
        return binary

    @cached_property
    def popularity(self) -> Int:
        """`[num_items] int64`: the events of each item."""
        return np.bincount(self.item_rows, minlength=self.num_items)


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """The queries to be answered, what is known at their time, and what the users did next."""

    user_rows: Int
    """`[queries] int64`: `UNKNOWN` for users that train does not hold."""
    history: Ragged
    """The item rows each query knows of, oldest first."""
    history_timestamps: Int
    """`[total history] int64`: seconds since 1970, UTC, of each value of `history`."""
    seen: Ragged
    """The item rows to leave out of each ranking, in any order; often those of `history`."""
    targets: Ragged
    """The item rows to be found, each once a query and at least one a query. `UNKNOWN` stands for an item that is not
    in the catalogue: it counts as a target that no ranking can reach."""
    num_items: int
    """Items in the catalogue."""
    context: Int | None = None
    """`[queries] int64`, 0 or more: the value of the query feature that `Interactions.context` has too."""

    def __post_init__(self) -> None:
        if self.context is not None and len(self.context) != len(self.user_rows):
            raise ValueError("context must have one value a query")
        if not len(self.user_rows) == len(self.history) == len(self.seen) == len(self.targets):
            raise ValueError("user_rows, history, seen and targets must have one row a query")
        if len(self.history_timestamps) != len(self.history.values):
            raise ValueError("history_timestamps must have one value for each value of history")
        _require_rows("history", self.history.values, 0, self.num_items)
        _require_rows("seen", self.seen.values, 0, self.num_items)
        _require_rows("targets", self.targets.values, UNKNOWN, self.num_items)
        if np.any(self.targets.lengths == 0):
            raise ValueError("each query needs at least one target: leave out the queries that have none")
        if len(self.targets.distinct().values) != len(self.targets.values):
            raise ValueError("targets must hold each item once a query: build them by Ragged.distinct")

    def __len__(self) -> int:
        return len(self.user_rows)

    def slice(self, start: int, stop: int) -> "EvaluationSet":
        """The queries from `start` up to `stop`."""
        first, last = self.history.indptr[[start, min(stop, len(self))]]
        return replace(
            self,
            user_rows=self.user_rows[start:stop],
            history=self.history.slice(start, stop),
            history_timestamps=self.history_timestamps[first:last],
            seen=self.seen.slice(start, stop),
            targets=self.targets.slice(start, stop),
            context=None if self.context is None else self.context[start:stop],
        )

    def share_of_seen_targets(self) -> float:
        """Share of the targets that lie in `seen` of their query; 0 without targets."""
        if not len(self.targets.values):
            return 0.0
        wanted, seen = (rows.row_of_value * (self.num_items + 1) + rows.values for rows in (self.targets, self.seen))
        return float(np.mean(np.isin(wanted, seen) & (self.targets.values != UNKNOWN)))

    def history_matrix(self, decay: float = 1.0) -> sp.csr_array:
        """`[queries, num_items] float32`, sparse: the weight of each item in a query's history.

        Args:
            decay: the item `j` steps before the newest weighs `decay ** j`; 1 weighs all alike. Of an item that occurs
                more than once, the newest occurrence counts.
        """
        rows, lengths = self.history.row_of_value, self.history.lengths
        steps = (np.cumsum(lengths)[rows] - 1 - np.arange(len(rows))).astype(np.float32)
        newest_first = np.arange(len(rows))[::-1]
        _, first = np.unique((rows * self.num_items + self.history.values)[newest_first], return_index=True)
        kept = newest_first[first]
        weights = np.float32(decay) ** steps[kept]
        pairs = (rows[kept], self.history.values[kept])
        return sp.csr_array((weights, pairs), shape=(len(self), self.num_items), dtype=np.float32)


def _require_rows(name: str, rows: Int, lowest: int, end: int) -> None:
    if len(rows) and (rows.min() < lowest or rows.max() >= end):
        raise ValueError(f"{name} must lie in {lowest} … {end - 1}, found {rows.min()} … {rows.max()}")
