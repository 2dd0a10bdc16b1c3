"""Greedy re-ranking: chooses one item after the other, the one with the largest gain given those before it.

Shapes: B queries, n candidates, D components.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from trainer.config.reranking import RERANKERS, RerankerConfig
from trainer.reranking.caps import Cap, counted
from trainer.reranking.contract import Reranker, State


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Candidates in the order of the second stage, best first."""

    scores: tf.Tensor
    """`[B, n] float32`, descending; -inf for padding, which is at the end."""
    rows: tf.Tensor
    """`[B, n] int32`, rows of the catalogue."""
    vectors: tf.Tensor
    """`[B, n, D] float32`, of any length."""


class _Step(NamedTuple):
    """The loop's variables."""

    step: tf.Tensor
    places: tf.Tensor
    """`[B, count] int32`: the chosen candidates."""
    is_taken: tf.Tensor
    """`[B, n] bool`."""
    counts: tuple[tf.Tensor, ...]
    """`[B, n, V] int32` a cap."""
    state: State


class Reranking(tf.Module):
    """The configured kind of re-ranking with its caps."""

    def __init__(self, config: RerankerConfig, caps: Sequence[Cap] = (), *, most: int) -> None:
        """Re-ranks at most `most` candidates, which bounds the loop."""
        super().__init__(name="reranking")
        self._config, self._most = config, most
        self.caps = list(caps)

    def __call__(self, ranked: Ranked, strength: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """Chooses the first items of each list.

        Args:
            ranked: At most `most` candidates of each query.
            strength: `[B] float32`, from 0 to 1.
            count: `[] int32`, at most n.

        Returns:
            `[B, count] int32`: places of the chosen candidates. Strength 0 without caps returns 0, 1, 2, …
        """
        is_item = ranked.scores > -float("inf")
        kind: Reranker = RERANKERS.implementation(self._config)(
            relevance_of(ranked.scores, is_item), tf.math.l2_normalize(ranked.vectors, axis=-1)
        )
        codes = [cap.codes(ranked.rows) for cap in self.caps]

        def choose(now: _Step) -> tuple[_Step]:
            gains = kind.gains(now.state, strength[:, None])
            # Items within the caps come before items beyond them, and those before padding.
            tier = tf.cast(is_item, tf.int32) + tf.cast(is_item & self._is_within(now.counts, codes), tf.int32)
            tier = tf.where(now.is_taken, -1, tier)
            is_next = tier == tf.reduce_max(tier, axis=1, keepdims=True)
            # Of equal gains, `top_k` takes the first.
            chosen = tf.math.top_k(tf.where(is_next, gains, -float("inf")), k=1).indices[:, 0]
            place = tf.one_hot(now.step, count, dtype=tf.int32)
            later = _Step(
                step=now.step + 1,
                places=now.places + place[None, :] * chosen[:, None],
                is_taken=now.is_taken | tf.one_hot(chosen, tf.shape(is_item)[1], on_value=True, off_value=False),
                counts=tuple(counted(*of_cap, chosen) for of_cap in zip(now.counts, codes, strict=True)),
                state=kind.add(now.state, now.step, chosen),
            )
            return (later,)

        first = _Step(
            step=tf.constant(0),
            places=tf.zeros([tf.shape(is_item)[0], count], tf.int32),
            is_taken=tf.zeros_like(is_item),
            counts=tuple(tf.zeros_like(each) for each in codes),
            state=kind.start(count),
        )
        shapes = tf.nest.map_structure(lambda tensor: tf.TensorShape([None] * tensor.shape.rank), first)
        (last,) = tf.while_loop(
            lambda now: now.step < count,
            choose,
            (first,),
            shape_invariants=(shapes,),
            # A bound that a server can see: a graph that is sure to end needs no watch over its deadline.
            maximum_iterations=self._most,
        )
        return last.places

    def _is_within(self, counts: Sequence[tf.Tensor], codes: Sequence[tf.Tensor]) -> tf.Tensor:
        within = tf.constant(True)
        for cap, of_cap, values in zip(self.caps, counts, codes, strict=True):
            within &= tf.reduce_all((of_cap < cap.most) | (values < 0), axis=-1)
        return within


def relevance_of(scores: tf.Tensor, is_item: tf.Tensor) -> tf.Tensor:
    """Scores within their list from 0, the worst, to 1, the best.

    Args:
        scores: `[B, n] float32`.
        is_item: `[B, n] bool`, false for padding.

    Returns:
        `[B, n] float32`: 0 for padding, and everywhere in a list of equal scores.
    """
    best = tf.reduce_max(tf.where(is_item, scores, tf.float32.min), axis=1, keepdims=True)
    worst = tf.reduce_min(tf.where(is_item, scores, tf.float32.max), axis=1, keepdims=True)
    return tf.where(is_item, tf.math.divide_no_nan(scores - worst, best - worst), 0.0)
