"""What places for new items cost: lists with more and more of them, judged by all targets and by cold ones."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.config.evaluation import EvaluationConfig
from trainer.data.events import Float64
from trainer.evaluation.queries import JudgedSplit
from trainer.metrics.intervals import Interval, bootstrap_means, user_groups
from trainer.metrics.lists import query_metrics
from trainer.metrics.protocol import Bool, Int, Ragged
from trainer.reranking.new_items import reserve_places
from trainer.restore import Trained
from trainer.retrieval.full_ranking import query_blocks, rank_some
from trainer.retrieval.two_towers import TwoTowers

PLACES = (0, 1, 2, 3, 5, 10)
_MOST_QUERIES = 2_000


def new_item_curve(
    retrieval: Trained[TwoTowers],
    judged: JudgedSplit,
    served: Int,
    config: EvaluationConfig,
    *,
    ranked: Int | None = None,
) -> list[dict[str, Any]]:
    """Gives new items more and more of the places at the end of the lists, as `recommender` does.

    Args:
        retrieval: The model by whose scores new items compete.
        judged: The queries with their targets; of very many, 2,000 are judged.
        served: `[queries, k] int64`: catalogue rows in the order that is served, -1 where a list is short.
        config: Whether items that a user had are left out, and how intervals are drawn.
        ranked: `[queries, n] int64`: candidates in the order that is served, whose new items come before those that
            retrieval chooses; None where no candidates are kept for them.

    Returns:
        One entry a number of places below k: `places`, and means over the queries of `ndcg` and `recall`, and of
        `cold_recall` over those with a target without training events, each with the bounds of its bootstrap interval
        by users, as `ndcg_interval` and so on. Empty if there is no such target.
    """
    encoder, candidates = retrieval.encoder, retrieval.candidates
    item_id = encoder.schema.item_id
    is_new = candidates.without_events(item_id, encoder.lookup(item_id).vocabulary.first_token_index)
    chosen = np.unique(np.linspace(0, len(served) - 1, min(_MOST_QUERIES, len(served))).astype(np.int64))
    targets, lists = judged.queries.targets.take(chosen), served[chosen]
    cold = targets.where((targets.values >= 0) & is_new[targets.values])
    if len(cold.values) == 0:
        return []
    seen = judged.queries.seen.take(chosen) if config.exclude_seen else None
    blocks = query_blocks(judged.events, encoder.schema, judged.asked_at[chosen])
    new_rows = rank_some(retrieval.model, candidates, blocks, np.flatnonzero(is_new), lists.shape[1], seen=seen)
    if ranked is not None:
        new_rows = ranked_first(ranked[chosen], is_new, new_rows)
    judge = partial(_judged, targets=targets, cold=cold, users=judged.queries.user_rows[chosen], config=config)
    numbers = [number for number in PLACES if number <= lists.shape[1]]
    return [{"places": float(number)} | judge(with_places(lists, new_rows, is_new, number)) for number in numbers]


def ranked_first(ranked: Int, is_new: Bool, new_rows: Int) -> Int:
    """The new items among ranked candidates, `[queries, n]`, in their order, then the others of `new_rows`."""
    first = np.where((ranked >= 0) & is_new[ranked], ranked, -1)
    is_ranked = (new_rows[:, :, None] == first[:, None, :]).any(axis=2)
    found: Int = np.concatenate([first, np.where(is_ranked, -1, new_rows)], axis=1)
    return found


def with_places(lists: Int, new_rows: Int, is_new: Bool, number: int) -> Int:
    """The lists with so many places for new items.

    Args:
        lists: `[queries, k]`: rows, -1 for padding.
        new_rows: `[queries, n]`: new items, best first, -1 for padding.
        is_new: `[items]`.
        number: Places of each list.
    """
    reserved = reserve_places(
        tf.constant(lists, tf.int32),
        tf.constant((lists >= 0) & is_new[lists]),
        tf.constant(new_rows, tf.int32),
        tf.fill([len(lists)], number),
    )
    found: Int = np.take_along_axis(np.concatenate([lists, new_rows], axis=1), reserved.places.numpy(), axis=1)
    return found


def _judged(lists: Int, *, targets: Ragged, cold: Ragged, users: Int, config: EvaluationConfig) -> dict[str, Any]:
    cutoff = lists.shape[1]
    metrics = query_metrics(lists, targets, [cutoff])
    with_cold = np.flatnonzero(cold.lengths)
    of_cold = query_metrics(lists[with_cold], cold.take(with_cold), [cutoff])
    of_all = {name: metrics[f"{name}@{cutoff}"] for name in ("ndcg", "recall")}
    intervals = _intervals(of_all, users, config)
    intervals |= _intervals({"cold_recall": of_cold[f"recall@{cutoff}"]}, users[with_cold], config)
    values = {name: interval.value for name, interval in intervals.items()}
    return values | {f"{name}_interval": [each.low, each.high] for name, each in intervals.items()}


def _intervals(metrics: Mapping[str, Float64], users: Int, config: EvaluationConfig) -> dict[str, Interval]:
    return bootstrap_means(
        metrics, user_groups(users), resamples=config.resamples, confidence=config.confidence, seed=config.seed
    )
