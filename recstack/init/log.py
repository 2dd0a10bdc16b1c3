"""Facts of an interaction log that the choice of split and models depends on."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config.source import IdRules
from beam_pipelines.profile.raw_table import TableProfile
from recstack.init.roles import Roles

TAKEN_AGAIN = 0.1
"""Share of the events of items that the user had before, from which on lists without these miss much."""
# Of single events.
_MOSTLY_AGAIN = 0.5
_SECONDS_PER_DAY, _DAYS_A_YEAR = 86_400, 365
_HELD_OUT = 0.1
# Pairs of neighbouring items that are compared with pairs that are not neighbours.
_MOST_PAIRS = 500_000
# Coincidences that are taken for chance: in a small log there are few, and a few more are no sign of an order.
_CHANCE_PAIRS = 100
# Moments of a user that are mostly no further apart are one sitting, such as a page of films rated at once.
_SITTING_SECONDS = 600

_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Log:
    """The events that were read, by user and time; the facts are about them."""

    users: _Integers
    """`[n]` number of each event's user, not decreasing."""
    items: _Integers
    """`[n]` number of each event's item."""
    seconds: _Integers
    """`[n]` since 1970-01-01 UTC, not decreasing within a user."""
    rows: _Integers
    """`[n]` row of the event among those that were read."""
    is_order: bool
    """Whether `seconds` only tell the order of events."""
    share: float
    """Of the table, that was read."""
    unwanted: npt.NDArray[np.bool_] | None = None
    """`[n]` whether the user did not choose the item, such as one that was shown in vain; none: all were chosen."""

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def taken(self) -> "Log":
        """The events without the unwanted ones, which histories and retrieval leave out; all if no other is there."""
        if self.unwanted is None or self.unwanted.all():
            return self
        kept = ~self.unwanted
        _, users = np.unique(self.users[kept], return_inverse=True)
        items, seconds, rows = self.items[kept], self.seconds[kept], self.rows[kept]
        return replace(self, users=users, items=items, seconds=seconds, rows=rows, unwanted=None)

    @property
    def total(self) -> int:
        """Events of the whole table, about."""
        return round(len(self) / self.share)

    @property
    def num_users(self) -> int:
        """Users."""
        return int(self.users[-1]) + 1

    @property
    def num_items(self) -> int:
        """Items."""
        return int(self.items.max()) + 1

    @property
    def density(self) -> float:
        """Events for each pair of a user and an item."""
        return len(self) / (self.num_users * self.num_items)

    @property
    def days(self) -> float:
        """Between the first and the last event."""
        return float(self.seconds.max() - self.seconds.min()) / _SECONDS_PER_DAY

    @property
    def tells_seasons(self) -> bool:
        """Whether what is trained on covers each month, so that those of later events were seen a year before."""
        if self.is_order:
            return False
        end = np.quantile(self.seconds, 1 - 2 * _HELD_OUT)
        return float(end - self.seconds.min()) >= _DAYS_A_YEAR * _SECONDS_PER_DAY

    def events_a_user(self, share: float) -> float:
        """The length of history that the share of the users do not exceed."""
        return float(np.quantile(np.bincount(self.users), share))

    @property
    def num_moments(self) -> int:
        """Different times."""
        return len(np.unique(self.seconds))

    @property
    def events_a_moment(self) -> float:
        """Events of one user at one time, on average: the size of a basket."""
        is_new = (np.diff(self.users) != 0) | (np.diff(self.seconds) != 0)
        return len(self) / (1.0 + float(is_new.sum()))

    @property
    def shared_moments(self) -> float:
        """Share of the events that have another one of the same user at the same time, such as in a basket."""
        same = (np.diff(self.users) == 0) & (np.diff(self.seconds) == 0)
        with_other = np.zeros(len(self), bool)
        with_other[1:] |= same
        with_other[:-1] |= same
        return float(with_other.mean())

    @cached_property
    def taken_again(self) -> float:
        """Share of the events whose user had taken the item at an earlier moment."""
        order = np.lexsort([self.seconds, self.items, self.users])
        same = (np.diff(self.users[order]) == 0) & (np.diff(self.items[order]) == 0)
        later = np.diff(self.seconds[order]) > 0
        # Of events at one moment all count, or none: the first one's earlier event is that of all.
        pairs = np.concatenate([[0], np.cumsum(~same)])
        moments = np.concatenate([[0], np.cumsum(~same | later)])
        first_moment = moments[np.searchsorted(pairs, pairs)]
        return float((moments > first_moment).mean())

    def recommends_again(self, examples: str) -> bool:
        """Whether what users had taken is to be recommended again.

        Of baskets, which `examples` says, a tenth that was bought before is enough. Of views and clicks users may want
        what is new all the same, unless most of what they take is what they had.
        """
        return self.taken_again >= (TAKEN_AGAIN if examples == "basket" else _MOSTLY_AGAIN)

    def share_of_moment(self, back: int) -> float:
        """Share of the events at the last moment (`back = 1`), the one before it, and so on."""
        moments, counts = np.unique(self.seconds, return_counts=True)
        return float(counts[-back] / len(self)) if back <= len(moments) else 0.0

    def known_test_users(self) -> tuple[int, float]:
        """Under a cut in time: users of the latest tenth of events with an earlier event, as a count and a share."""
        cut = np.quantile(self.seconds, 1 - _HELD_OUT, method="higher")
        later = np.unique(self.users[self.seconds >= cut])
        known = np.isin(later, self.users[self.seconds < cut])
        return int(known.sum()), float(known.mean()) if len(later) else 0.0

    @property
    def are_sittings(self) -> bool:
        """Whether a user's neighbouring moments are mostly minutes apart: pages of one sitting and no baskets.

        Of an order without times nobody knows.
        """
        gaps = np.diff(self.seconds)[np.diff(self.users) == 0]
        gaps = gaps[gaps > 0]
        return not self.is_order and len(gaps) > 0 and float(np.median(gaps)) <= _SITTING_SECONDS

    def order_lift(self) -> float:
        """Repetitions of pairs of neighbouring items, divided by those of pairs of items five events apart.

        About 1 where the order of a user's events tells nothing. A pair that occurs n times counts
        n (n - 1) / 2: in a dense log nearly every pair occurs twice, whatever the order.
        """
        near, far = self._pairs(1), self._pairs(5)
        size = min(len(near), len(far), _MOST_PAIRS)
        if size < 1000:
            return 1.0
        rng = np.random.default_rng(0)
        coinciding = [_coincidences(rng.choice(pairs, size, replace=False)) for pairs in (near, far)]
        return (coinciding[0] + _CHANCE_PAIRS) / (coinciding[1] + _CHANCE_PAIRS)

    def _pairs(self, apart: int) -> _Integers:
        # An item twice in a row, such as a double click, is no order.
        same = (self.users[apart:] == self.users[:-apart]) & (self.items[apart:] != self.items[:-apart])
        pairs: _Integers = (self.items[:-apart] * (self.num_items + 1) + self.items[apart:])[same]
        return pairs


def _coincidences(pairs: _Integers) -> float:
    """The sum of n (n - 1) / 2 over the distinct pairs, n being how often each occurs."""
    _, counts = np.unique(pairs, return_counts=True)
    return float((counts * (counts - 1)).sum()) / 2


def log_of(events: TableProfile, roles: Roles, rules: IdRules) -> Log:
    """The events with a user, an item and a time, in order; ids are spelt by the rules, as `prepare` does."""
    seconds = roles.time.seconds(events.num_rows)
    source = replace(events.source, ids=rules)
    ids = [choice.column.ids(source) for choice in (roles.user, roles.item)]
    complete = pc.and_(pc.and_(seconds.is_valid(), ids[0].is_valid()), ids[1].is_valid())
    rows = np.flatnonzero(complete.to_numpy(zero_copy_only=False))
    users, items = (_codes(values, rows) for values in ids)
    times = seconds.fill_null(0).to_numpy(zero_copy_only=False)[rows]
    order = np.lexsort([np.arange(len(rows)), times, users])
    return Log(
        users=users[order],
        items=items[order],
        seconds=times[order].astype(np.int64),
        rows=rows[order],
        is_order=roles.time.format.is_order,
        share=events.share,
    )


def _codes(values: pa.Array, rows: _Integers) -> _Integers:
    encoded = values.take(pa.array(rows)).dictionary_encode()
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)
