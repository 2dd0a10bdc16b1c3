"""When the user took a candidate before: features of the times of the history's events.

A customer who takes an article every month is due for it a month after the last time, so what counts is the time since
then beside the usual gap. Events of one moment are one basket.

Shapes: B queries, H history entries, C candidates. An entry counts where its item is in the catalogue and its time is
known.
"""

from dataclasses import dataclass

import tensorflow as tf

REPEATS = ("taken_lately", "is_repeated", "repeat_due", "repeat_off", "baskets_since", "basket_share")
"""Names of the features of a candidate; all but `baskets_since` are 0 for one that the user has never had."""
_DAY = 86_400.0
# Nobody is due for what was taken so many days ago.
_LONG_AGO = 1_000.0
# Gaps below half a day are alike.
_SHORTEST = 0.5
_MOST = 3.0


@dataclass(frozen=True, kw_only=True)
class TimedHistory:
    """The entries of histories, with what their times say."""

    items: tf.Tensor
    """`[B, H] int32`: rows of the catalogue, -1 where an entry does not count."""
    days: tf.Tensor
    """`[B, H] float32`: days before the request, at least 0."""
    basket: tf.Tensor
    """`[B, H] float32`: number of the entry's basket, the oldest is 1."""
    is_first: tf.Tensor
    """`[B, H] bool`: whether no earlier entry holds the same item in the same basket."""
    baskets: tf.Tensor
    """`[B] float32`: how many baskets there are."""

    def holding(self, candidates: tf.Tensor) -> tf.Tensor:
        """Which entries hold which candidates, `[B, C] int32`, once a basket: `[B, H, C] bool`."""
        held = tf.where(self.is_first, self.items, -1)
        return (held[:, :, None] == candidates[:, None, :]) & (held >= 0)[:, :, None]


def timed_history(history: tf.Tensor, times: tf.Tensor, asked_at: tf.Tensor) -> TimedHistory:
    """Counts baskets and days.

    Args:
        history: `[B, H] int32`: rows of the catalogue, oldest first, -1 for padding.
        times: `[B, H] int64`: seconds since 1970-01-01 UTC, 0 where unknown.
        asked_at: `[B] int64`: time of the request; where it is 0, that of the newest event stands for it.
    """
    counts = (history >= 0) & (times > 0)
    times = tf.where(counts, times, tf.constant(0, tf.int64))
    now = tf.where(asked_at > 0, asked_at, tf.reduce_max(tf.pad(times, [[0, 0], [0, 1]]), axis=1))
    is_earlier = tf.linalg.band_part(tf.ones([tf.shape(times)[1]] * 2, tf.bool), -1, 0)
    is_earlier = tf.linalg.set_diag(is_earlier, tf.zeros([tf.shape(times)[1]], tf.bool))
    same_moment = is_earlier & (times[:, :, None] == times[:, None, :])
    same_item = same_moment & (history[:, :, None] == history[:, None, :])
    opens_basket = counts & ~tf.reduce_any(same_moment, axis=2)
    basket = tf.cumsum(tf.cast(opens_basket, tf.float32), axis=1)
    return TimedHistory(
        items=tf.where(counts, history, -1),
        days=tf.cast(tf.maximum(now[:, None] - times, 0), tf.float32) / _DAY,
        basket=basket,
        is_first=counts & ~tf.reduce_any(same_item, axis=2),
        baskets=tf.reduce_sum(tf.cast(opens_basket, tf.float32), axis=1),
    )


def of_repeats(history: TimedHistory, candidates: tf.Tensor) -> tf.Tensor:
    """What the user's earlier baskets with a candidate say.

    Args:
        history: The history.
        candidates: `[B, C] int32`: rows of the catalogue, -1 for padding.

    Returns:
        `[B, C, 6] float32`, in the order of `REPEATS`: how lately it was taken, log(1001) less the log of 1 + days
        since; whether it was in two baskets or more; of such an item the log of the days since over the mean gap, from
        -3 to 3, and the magnitude of that; the log of 1 + the number of baskets since, all of them if it was in none;
        and the share of the baskets from its first one on that hold it.
    """
    holds = history.holding(candidates)
    baskets = tf.reduce_sum(tf.cast(holds, tf.float32), axis=1)
    last, first = _extremes(holds, history.days)
    last_basket, first_basket = _extremes(holds, -history.basket)
    is_taken, is_repeated = baskets > 0.0, baskets > 1.0
    lately = tf.nn.relu(tf.math.log1p(_LONG_AGO) - tf.math.log1p(last))
    gap = (first - last) / tf.maximum(baskets - 1.0, 1.0)
    ratio = tf.where(is_repeated, (last + _SHORTEST) / (gap + _SHORTEST), 1.0)
    due = tf.clip_by_value(tf.math.log(ratio), -_MOST, _MOST)
    since = history.baskets[:, None] + tf.where(is_taken, last_basket, 0.0)
    share = baskets / tf.maximum(history.baskets[:, None] + first_basket + 1.0, 1.0)
    columns = [
        tf.where(is_taken, lately, 0.0),
        tf.cast(is_repeated, tf.float32),
        due,
        tf.abs(due),
        tf.math.log1p(since),
        tf.where(is_taken, share, 0.0),
    ]
    return tf.stack(columns, axis=-1)


def _extremes(holds: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Least and greatest of the values `[B, H]` of the entries that hold a candidate, `[B, C]`; any number for none."""
    of_entries = values[:, :, None]
    least = tf.reduce_min(tf.where(holds, of_entries, values.dtype.max), axis=1)
    return least, tf.reduce_max(tf.where(holds, of_entries, values.dtype.min), axis=1)
