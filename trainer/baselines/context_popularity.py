"""Popularity in a context: what was taken in the same country, or at the same hour, for users that nobody knows yet.

Counts of one context are few, so they are shrunk towards those of all contexts by a Dirichlet prior: Zhai and Lafferty,
"A Study of Smoothing Methods for Language Models Applied to Information Retrieval", TOIS 22(2), 2004, equation 6.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from features.errors import ConfigError, InputError
from trainer.baselines.contract import Baseline, Grid, require_positive, weights_by_age
from trainer.metrics.protocol import EvaluationSet, Float, Int, Interactions


@dataclass(frozen=True)
class ContextScorer:
    """Scores an item by its share of the context's events, to which the prior adds some, spread as they are overall."""

    shares: sp.csr_array
    """`[contexts + 1, num_items] float32`, sparse: events in the context, divided by all there and the prior's. The
    last row stands for contexts without training events."""
    prior: Float
    """`[contexts + 1] float32`: the prior's part of each context, 1 where there were no events."""
    overall: Float
    """`[num_items] float32`: shares of the items in the events of all contexts."""

    def score(self, queries: EvaluationSet) -> Float:
        """Returns `[queries, num_items] float32`: the chance of each item to be the next event of such a context.

        Raises:
            InputError: the queries have no context.
        """
        context = np.minimum(_required(queries.context), len(self.prior) - 1)
        scores: Float = self.shares[context].toarray() + self.prior[context, None] * self.overall
        return scores


@dataclass(frozen=True, kw_only=True)
class ContextPopularity(Baseline):
    """(Events of the item in the context + strength · its share of all events) / (events in the context + strength)."""

    strength: float = 300.0
    """Events that the prior adds to each context, spread as the events of all contexts are."""
    half_life: float = 0.0
    """Share of the time that train spans, after which an event counts half; 0 counts all alike."""
    grid: ClassVar[Grid] = {
        "strength": (30.0, 300.0, 3_000.0, 30_000.0, 300_000.0),
        "half_life": (0.01, 0.03, 0.1, 0.3),
    }

    def __post_init__(self) -> None:
        require_positive("context_popularity.strength", self.strength)
        if self.half_life < 0:
            raise ConfigError("context_popularity.half_life", self.half_life, "a number above 0, or 0 for none")

    def fit(self, interactions: Interactions) -> ContextScorer:
        """Counts events by context and item.

        Raises:
            InputError: the interactions have no context.
        """
        context = _required(interactions.context)
        shape = (int(context.max(initial=-1)) + 2, interactions.num_items)
        weights = weights_by_age(interactions, self.half_life) if self.half_life else np.ones(len(context))
        counts = sp.csr_array((weights, (context, interactions.item_rows)), shape=shape)
        events, of_items = counts.sum(axis=1), counts.sum(axis=0)
        divisors = 1.0 / (events + self.strength)
        return ContextScorer(
            sp.csr_array(sp.diags_array(divisors) @ counts).astype(np.float32),
            (self.strength * divisors).astype(np.float32),
            (of_items / max(float(of_items.sum()), 1e-30)).astype(np.float32),
        )


def _required(context: Int | None) -> Int:
    if context is None:
        raise InputError(
            "the context_popularity baseline needs a query feature with a vocabulary, buckets or calendar parts: "
            "describe queries by one, or leave `context_popularity` out of the baselines"
        )
    return context
