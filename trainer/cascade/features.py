"""What tells the candidates of one query apart, computed in the graph, the same for training and serving.

Shapes: B queries, H history entries, C candidates, F features.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.cascade.repeats import REPEATS, TimedHistory, of_repeats, timed_history
from trainer.cascade.similarities import Similarity
from trainer.config.export import Precision

FEATURES_OF_SCORES = ("retrieval_score", "retrieval_gap", "retrieval_log_rank")
"""Names of the first features."""
_OVER_HISTORY = ("sum", "most", "top", "lately", "recent", "last_few", "last")
NUM_OVER_HISTORY = len(_OVER_HISTORY)
TOP = 3
"""Similarities of which a `top` feature is the sum."""
GROUP_OF_SCORES, GROUP_OF_REPEATS, GROUP_OF_COLUMNS = "retrieval", "repeats", "popularity"
"""Groups of the features of retrieval's scores, of the times of earlier events, and of the item columns."""
GROUP_OF_REQUEST = "request"
"""The feature, and its group, that explanations add for what a request boosts, buries or names as shown."""
_CLIP = 5.0
_LAST = 5
_DECAY, _SLOW_DECAY = 0.9, 0.98


@dataclass(frozen=True, kw_only=True)
class Query:
    """What the features are computed from."""

    history: tf.Tensor
    """`[B, H] int32`: rows of the catalogue, oldest first, -1 for padding and for items that it does not hold."""
    candidates: tf.Tensor
    """`[B, C] int32`: rows of the catalogue, in any order, -1 for padding."""
    scores: tf.Tensor
    """`[B, C] float32`: of retrieval; any number where the row is -1."""
    history_times: tf.Tensor | None = None
    """`[B, H] int64`: of the history's events, seconds since 1970-01-01 UTC, 0 where unknown; None for unknown ones."""
    asked_at: tf.Tensor | None = None
    """`[B] int64`: the time of the request, seconds since 1970-01-01 UTC, 0 where unknown; None for unknown ones."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which features there are, in their order."""

    similarities: tuple[str, ...]
    """Names of the similarities."""
    item_columns: tuple[str, ...]
    """Names of what is known of the items."""
    with_times: bool
    """Whether histories have times."""

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each feature."""
        return (
            *FEATURES_OF_SCORES,
            *(feature for name in self.similarities for feature in names_over_history(name)),
            *self._repeats,
            *self.item_columns,
        )

    @property
    def groups(self) -> tuple[str, ...]:
        """The group of each feature: one of its own for each similarity."""
        return (
            *(GROUP_OF_SCORES for _ in FEATURES_OF_SCORES),
            *(name for name in self.similarities for _ in _OVER_HISTORY),
            *(GROUP_OF_REPEATS for _ in self._repeats),
            *(GROUP_OF_COLUMNS for _ in self.item_columns),
        )

    @property
    def _repeats(self) -> tuple[str, ...]:
        return REPEATS if self.with_times else ()


def names_over_history(similarity: str) -> tuple[str, ...]:
    """Names of the features of one similarity, in the order of `over_history`."""
    return tuple(f"{similarity}_{aggregate}" for aggregate in _OVER_HISTORY)


class CandidateFeatures(tf.Module):
    """Features of the candidates: retrieval's scores, similarities to the history, and what is known of the items."""

    def __init__(
        self,
        similarities: Mapping[str, Similarity],
        item_columns: Mapping[str, npt.NDArray[np.float32]],
        *,
        with_times: bool = False,
    ) -> None:
        """Holds the tables.

        Args:
            similarities: by name.
            item_columns: Numbers of each item by name, `[items] float32` each, such as log counts.
            with_times: Whether to compute what the times of histories say.
        """
        super().__init__(name="candidate_features")
        self.similarities = dict(similarities)
        self.item_names = tuple(item_columns)
        self.with_times = with_times
        table = np.stack([*item_columns.values()], axis=1) if item_columns else np.zeros((1, 0), np.float32)
        self.item_table = tf.Variable(table.astype(np.float32), trainable=False, name="item_columns")
        layout = Layout(similarities=tuple(self.similarities), item_columns=self.item_names, with_times=self.with_times)
        self.names, self.groups = layout.names, layout.groups
        self.item_places = slice(len(self.names) - len(self.item_names), len(self.names))

    def stored_in(self, precision: Precision) -> "CandidateFeatures":
        """The same features from similarities whose numbers take fewer bytes."""
        similarities = {name: each.stored_in(precision) for name, each in self.similarities.items()}
        return CandidateFeatures(similarities, self.columns(), with_times=self.with_times)

    def columns(self) -> dict[str, npt.NDArray[np.float32]]:
        """The numbers of the items by name, `[items] float32` each."""
        return dict(zip(self.item_names, self.item_table.numpy().T, strict=True))

    def with_columns(self, item_columns: Mapping[str, npt.NDArray[np.float32]]) -> "CandidateFeatures":
        """The same features with other numbers of the items."""
        return CandidateFeatures(self.similarities, item_columns, with_times=self.with_times)

    def __call__(self, query: Query) -> tf.Tensor:
        """`[B, C, F] float32`, in the order of `names`; 0 for padding."""
        is_item = query.candidates >= 0
        weights = history_weights(query.history)
        parts = [
            of_scores(query.scores, is_item),
            *(
                over_history(similarity.pairs(query.history, query.candidates), weights)
                for similarity in self.similarities.values()
            ),
            *self._repeats(query),
            tf.gather(self.item_table, tf.maximum(query.candidates, 0)),
        ]
        return tf.where(is_item[..., None], tf.concat(parts, axis=-1), 0.0)

    def _repeats(self, query: Query) -> Iterator[tf.Tensor]:
        if self.with_times:
            yield of_repeats(timed_history_of(query), query.candidates)


def timed_history_of(query: Query) -> TimedHistory:
    """The history of a query with its times."""
    times, asked_at = query.history_times, query.asked_at
    if times is None:
        times = tf.zeros_like(query.history, tf.int64)
    if asked_at is None:
        asked_at = tf.zeros(tf.shape(query.history)[:1], tf.int64)
    return timed_history(query.history, times, asked_at)


def of_scores(scores: tf.Tensor, is_item: tf.Tensor) -> tf.Tensor:
    """What retrieval's scores say.

    Args:
        scores: `[B, C] float32`.
        is_item: `[B, C] bool`, false for padding.

    Returns:
        `[B, C, 3] float32`: the score, its distance to the best, and the log of the rank, which counts from 1.
    """
    lowest = tf.float32.min
    ranked = tf.argsort(tf.where(is_item, scores, lowest), axis=1, direction="DESCENDING", stable=True)
    ranks = tf.argsort(ranked, axis=1, stable=True)
    best = tf.reduce_max(tf.where(is_item, scores, lowest), axis=1, keepdims=True)
    return tf.stack([scores, scores - best, tf.math.log1p(tf.cast(ranks, tf.float32))], axis=-1)


def history_weights(history: tf.Tensor) -> tf.Tensor:
    """What each entry of a history counts in each of the weighted sums of `over_history`.

    Args:
        history: `[B, H] int32`, oldest first, -1 for padding.

    Returns:
        `[B, H, 5] float32`, 0 for padding: 1, a slow and a fast decay with the entries since, whether it is one of the
        last five, whether it is the last one.
    """
    present = tf.cast(history >= 0, tf.float32)
    since = tf.cumsum(present, axis=1, exclusive=True, reverse=True)
    kinds = [tf.ones_like(since), _SLOW_DECAY**since, _DECAY**since, _before(since, _LAST), _before(since, 1)]
    return present[..., None] * tf.stack(kinds, axis=-1)


def over_history(pairs: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Sums a similarity up over the history.

    Args:
        pairs: `[B, H, C] float32`.
        weights: `[B, H, 5] float32`, see `history_weights`.

    Returns:
        `[B, C, 7] float32`: the sum, the most and the sum of the three most, at least 0, the sums with weights that
        decay slowly and fast with the entries since, the sum of the last five and that of the last one.
    """
    sums = tf.matmul(pairs, weights, transpose_a=True)
    # At least 0, so that the number of padding entries, none in a full history, changes nothing.
    of_present = tf.pad(tf.nn.relu(pairs * weights[..., :1]), [[0, 0], [0, TOP], [0, 0]])
    top = tf.math.top_k(tf.transpose(of_present, [0, 2, 1]), k=TOP).values
    return tf.concat([sums[..., :1], top[..., :1], tf.reduce_sum(top, axis=-1, keepdims=True), sums[..., 1:]], axis=-1)


def _before(since: tf.Tensor, entries: int) -> tf.Tensor:
    return tf.cast(since < entries, tf.float32)


class ListMoments(NamedTuple):
    """What features are standardised by within their list."""

    mean: tf.Tensor
    """`[B, 1, F] float32`."""
    scale: tf.Tensor
    """`[B, 1, F] float32`: one over the deviation."""


class Standardisation(tf.Module):
    """Each feature twice: standardised over all training lists, and within its own list; both clipped."""

    def __init__(self, num_features: int) -> None:
        """Starts as the identity; `fit` sets mean and deviation."""
        super().__init__(name="standardisation")
        self.mean = tf.Variable(tf.zeros([num_features]), trainable=False, name="mean")
        self.deviation = tf.Variable(tf.ones([num_features]), trainable=False, name="deviation")

    def fit(self, features: npt.NDArray[np.float32], is_item: npt.NDArray[np.bool_]) -> None:
        """Takes mean and deviation of `[lists, C, F]` over the places for which `is_item`, `[lists, C]`, is true."""
        # One feature after the other, since all of them in float64 would take twice the memory of the lists.
        columns = (features[..., place][is_item].astype(np.float64) for place in range(features.shape[-1]))
        moments = np.array([(column.mean(), column.std()) for column in columns])
        self.mean.assign(moments[:, 0])
        self.deviation.assign(np.maximum(moments[:, 1], 1e-6))

    def __call__(self, features: tf.Tensor, is_item: tf.Tensor) -> tf.Tensor:
        """`[B, C, F]` to `[B, C, 2 F] float32`, 0 for padding; `is_item` is `[B, C] bool`."""
        return tf.cast(is_item, tf.float32)[..., None] * self.within_list(features, self.moments(features, is_item))

    def moments(self, features: tf.Tensor, is_item: tf.Tensor) -> ListMoments:
        """Mean and deviation of each list, `[B, C, F] float32`, over the places of `is_item`, `[B, C] bool`."""
        weight = tf.cast(is_item, tf.float32)[..., None]
        count = tf.maximum(tf.reduce_sum(weight, axis=1, keepdims=True), 1.0)
        mean = tf.reduce_sum(features * weight, axis=1, keepdims=True) / count
        variance = tf.reduce_sum(tf.square(features - mean) * weight, axis=1, keepdims=True) / count
        return ListMoments(mean=mean, scale=tf.math.rsqrt(variance + 1e-6))

    def within_list(self, features: tf.Tensor, moments: ListMoments) -> tf.Tensor:
        """Features `[..., B, C, F]` of any candidates of lists with these moments to `[..., B, C, 2 F] float32`."""
        overall = (features - self.mean) / self.deviation
        within = (features - moments.mean) * moments.scale
        return tf.clip_by_value(tf.concat([overall, within], axis=-1), -_CLIP, _CLIP)
