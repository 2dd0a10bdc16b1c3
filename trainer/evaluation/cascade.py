"""The cascade as it is served: retrieval's candidates in the list ranker's order, beside retrieval's own order."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from features.disk.layout import SPLITS, Split
from features.disk.manifest import read_manifest
from features.schema import Schema
from trainer.cascade.features import FEATURES_OF_SCORES
from trainer.cascade.lists import CandidateLists, FirstStage, Questions, candidate_lists, retrieving
from trainer.cascade.model import ListRanker
from trainer.cascade.stage import ListRankingStage, feature_layout
from trainer.cascade.tables import meaning_of
from trainer.cascade.validation import logits_of, order_of, verdict
from trainer.config.evaluation import EvaluationConfig
from trainer.data.encoded_dataset import EncodedDataset
from trainer.data.events import Float32
from trainer.evaluation.diversity import ScoredLists, diversity_curves
from trainer.evaluation.importance import MOST_LISTS, permutation_importance
from trainer.evaluation.new_items import new_item_curve
from trainer.evaluation.queries import JudgedSplit
from trainer.evaluation.retrieval import load_data
from trainer.evaluation.rules import readable_rules
from trainer.metrics.intervals import paired_test, user_groups
from trainer.metrics.lists import query_metrics
from trainer.metrics.protocol import Int, Ragged
from trainer.metrics.results import Evaluation, compare, evaluate_rankings
from trainer.metrics.slices import standard_slices
from trainer.restore import Trained
from trainer.training.stage import StageContext

CASCADE, RETRIEVAL, LIST_RANKER = "cascade", "retrieval", "list_ranker"


@dataclass(frozen=True, kw_only=True)
class CascadeOrders:
    """Ranked lists of the same queries over the same candidates."""

    retrieval: Int
    """`[queries, C] int64`: catalogue rows, -1 where a list is short."""
    list_ranker: Int
    """`[queries, C] int64`: the same rows in the list ranker's order."""
    retrieval_scores: Float32
    """`[queries, C]`: retrieval's scores of its order; any number where a list is short."""
    list_ranker_scores: Float32
    """`[queries, C]`: the list ranker's logits of its order."""


def evaluate_cascade(
    trained: Trained[ListRanker], context: StageContext, config: EvaluationConfig, stage: ListRankingStage
) -> dict[str, Any]:
    """Orders the candidates of each query of the split by retrieval and by the list ranker.

    Args:
        trained: The restored list ranker.
        context: Schema, dataset and run.
        config: Split and metrics.
        stage: The list ranking stage.

    Returns:
        `model`, the order that is served: the list ranker's, or retrieval's where that was better on validation;
        `baselines`, both orders; `versus`, paired tests of the model against each; `ranks`, whether the list ranker is
        served, and `reason`, the numbers that decided; `by_label`, the same metrics of the targets with a positive
        label alone, where labels differ; `diversity` and `new_items`, what re-ranking the served lists and places for
        new items in them cost and bring; `ranker`, see `describe_ranker`.

    Raises:
        InputError: the split holds no query.
    """
    metrics = read_manifest(context.run.stage(stage.name).manifest, "run").metrics
    data = load_data(trained, context.dataset, config)
    judged = data.judged
    first = first_stage(trained, context, stage, known=splits_before(config.split))
    decided = verdict(metrics)
    orders = _orders_as_served(trained, judged, stage, first, ranks=decided.ranks)
    served = orders.list_ranker if decided.ranks else orders.retrieval
    towers, cutoff = first.model, min(config.cutoffs)
    retrieval = Trained(encoder=trained.encoder, model=towers, candidates=trained.candidates)
    slices = standard_slices(judged.queries, data.counts.popularity)
    named = {CASCADE: served, RETRIEVAL: orders.retrieval, LIST_RANKER: orders.list_ranker}
    evaluations = {
        name: evaluate_rankings(
            name, rows, judged.queries, popularity=data.counts.popularity, config=config, slices=slices
        )
        for name, rows in named.items()
    }
    model = evaluations.pop(CASCADE)
    return {
        "model": model.to_dict(),
        "baselines": {name: evaluation.to_dict() for name, evaluation in evaluations.items()},
        "versus": {
            name: {metric: asdict(test) for metric, test in compare(model, evaluation, model.metrics).items()}
            for name, evaluation in evaluations.items()
        },
        "ranks": decided.ranks,
        "reason": decided.reason,
        "by_label": _by_label(judged, served, orders.retrieval, config, context.schema),
        "diversity": diversity_curves(
            ScoredLists(
                rows=served,
                scores=orders.list_ranker_scores if decided.ranks else orders.retrieval_scores,
                targets=judged.queries.targets,
                vectors=towers.embed_candidates(trained.candidates).numpy(),
                values=category_values(trained),
            ),
            cutoff,
        ),
        "new_items": new_item_curve(
            retrieval,
            judged,
            served[:, :cutoff],
            config,
            ranked=served if decided.ranks and first.new_candidates else None,
        ),
        "ranker": describe_ranker(trained, context, stage, first),
    }


def _orders_as_served(
    trained: Trained[ListRanker], judged: JudgedSplit, stage: ListRankingStage, first: FirstStage, *, ranks: bool
) -> CascadeOrders:
    """Both orders; where retrieval's is served, that of candidates of which none are kept for new items."""
    orders = orders_of(trained, lists_behind(trained, judged, stage, first))
    if ranks or not first.new_candidates:
        return orders
    plain = orders_of(trained, lists_behind(trained, judged, stage, replace(first, new_candidates=0)))
    return replace(orders, retrieval=plain.retrieval, retrieval_scores=plain.retrieval_scores)


def judge_cascade(
    trained: Trained[ListRanker], context: StageContext, config: EvaluationConfig, stage: ListRankingStage
) -> Evaluation:
    """The metrics of the lists that are served, and nothing beside; arguments and errors as for `evaluate_cascade`."""
    data = load_data(trained, context.dataset, config)
    orders = cascade_orders(trained, context, data.judged, stage, known=splits_before(config.split))
    decided = verdict(read_manifest(context.run.stage(stage.name).manifest, "run").metrics)
    served = orders.list_ranker if decided.ranks else orders.retrieval
    return evaluate_rankings(CASCADE, served, data.judged.queries, popularity=data.counts.popularity, config=config)


def describe_ranker(
    trained: Trained[ListRanker], context: StageContext, stage: ListRankingStage, first: FirstStage
) -> dict[str, Any] | None:
    """Feature importance and readable rules of the list ranker, by at most 400 lists of the validation split.

    Args:
        trained: The restored list ranker.
        context: Schema, dataset and run.
        stage: The list ranking stage.
        first: What is in front of it; items are counted anew, over the events before the validation split.

    Returns:
        `importance`, see `permutation_importance`, with the `meaning` of each group; `rules`, see `readable_rules`;
        `lists`, how many there are, and `cutoff`, of NDCG. None where there is no validation split.
    """
    dataset = EncodedDataset(encoder=trained.encoder, candidates=trained.candidates)
    events = stage.validation_events(context, dataset)
    if events is None:
        return None
    features = stage.counted(context, dataset, first.features, known=splits_before("validation"))
    few = replace(stage, config=replace(stage.config, max_lists=MOST_LISTS))
    lists = few.lists(context, dataset, events, replace(first, features=features))
    layout = feature_layout(dataset)
    importance = permutation_importance(trained.model, lists, layout.groups, cutoff=stage.cutoff, seed=context.seed)
    return {
        "importance": [{**row, "meaning": meaning_of(row["group"])} for row in importance],
        "rules": readable_rules(trained.model, lists, layout.names, seed=context.seed),
        "lists": len(lists.rows),
        "cutoff": stage.cutoff,
    }


def category_values(trained: Trained[Any]) -> dict[str, npt.NDArray[np.int32]]:
    """Values of each item feature that items are filtered by: `[items, values] int32`, 0 for padding."""
    names = [feature.name for feature in trained.encoder.schema.candidate if feature.filter_by == "values"]
    encoded = trained.candidates.features
    return {name: encoded[name].numpy().reshape(len(trained.candidates), -1) for name in names if name in encoded}


def splits_before(split: Split) -> tuple[Split, ...]:
    """The splits whose events had happened when the queries of this one are asked."""
    return SPLITS[: max(SPLITS.index(split), 1)]


def cascade_orders(
    trained: Trained[ListRanker],
    context: StageContext,
    judged: JudgedSplit,
    stage: ListRankingStage,
    *,
    known: Sequence[Split],
) -> CascadeOrders:
    """Candidates of each query of a split, exactly, in retrieval's order and in the list ranker's.

    The arguments are those of `cascade_lists`.
    """
    return orders_of(trained, cascade_lists(trained, context, judged, stage, known=known))


def orders_of(trained: Trained[ListRanker], lists: CandidateLists) -> CascadeOrders:
    """Both orders of some lists."""
    rows, logits = lists.rows.astype(np.int64), logits_of(trained.model, lists)
    order = order_of(logits)
    return CascadeOrders(
        retrieval=np.where(lists.is_reserved, -1, rows),
        list_ranker=np.take_along_axis(rows, order, axis=1),
        retrieval_scores=lists.features[..., FEATURES_OF_SCORES.index("retrieval_score")],
        list_ranker_scores=np.take_along_axis(logits, order, axis=1),
    )


def cascade_lists(
    trained: Trained[ListRanker],
    context: StageContext,
    judged: JudgedSplit,
    stage: ListRankingStage,
    *,
    known: Sequence[Split],
) -> CandidateLists:
    """Candidates of each query of a split, exactly, with their features, in retrieval's order.

    Args:
        trained: The restored list ranker.
        context: Schema, dataset and run.
        judged: The split.
        stage: The list ranking stage.
        known: Splits over whose events items are counted; a SavedModel counts over all.
    """
    return lists_behind(trained, judged, stage, first_stage(trained, context, stage, known=known))


def first_stage(
    trained: Trained[ListRanker], context: StageContext, stage: ListRankingStage, *, known: Sequence[Split]
) -> FirstStage:
    """Restores retrieval and fits the tables of the features; the arguments are those of `cascade_lists`."""
    dataset = EncodedDataset(encoder=trained.encoder, candidates=trained.candidates)
    model = stage.train_retrieval(context, stage.retrieval)
    return stage.first_stage(context, dataset, model, known)


def lists_behind(
    trained: Trained[ListRanker], judged: JudgedSplit, stage: ListRankingStage, first: FirstStage
) -> CandidateLists:
    """Candidates of each query of a split behind a first stage; the other arguments are those of `cascade_lists`."""
    evaluation = stage.retrieval.evaluation
    questions = Questions(
        asked_at=judged.asked_at,
        targets=judged.queries.targets,
        seen=judged.queries.seen if evaluation.exclude_seen else None,
    )
    # What is kept for new items lies behind the places that are judged, so that retrieval's own order has all of them.
    count = max(stage.config.candidates, max(evaluation.cutoffs) + first.new_candidates)
    retrieve = retrieving(first, trained.candidates, trained.encoder, count)
    return candidate_lists(judged.events, questions, retrieve, first, stage.config.history)


def _by_label(
    judged: JudgedSplit, served: Int, retrieval: Int, config: EvaluationConfig, schema: Schema
) -> Mapping[str, Any]:
    """Metrics by the targets that are positive for one task, and their paired difference, by task and metric."""
    found = {}
    for number, task in enumerate(schema.task):
        positive = _positive_targets(judged, judged.events.labels[:, number])
        if task.type == "binary" and 0 < len(positive.values) < len(judged.queries.targets.values):
            found[task.name] = _compared(positive, judged, served, retrieval, config.cutoffs)
    return found


def _compared(
    targets: Ragged, judged: JudgedSplit, served: Int, retrieval: Int, cutoffs: Sequence[int]
) -> dict[str, dict[str, Any]]:
    some = np.flatnonzero(targets.lengths)
    ours, theirs = (query_metrics(rows[some], targets.take(some), cutoffs) for rows in (served, retrieval))
    groups = np.unique(user_groups(judged.queries.user_rows)[some], return_inverse=True)[1]
    return {
        name: {
            CASCADE: float(values.mean()),
            RETRIEVAL: float(theirs[name].mean()),
            "difference": asdict(paired_test(values, theirs[name], groups).difference),
        }
        for name, values in ours.items()
    }


def _positive_targets(judged: JudgedSplit, labels: Float32) -> Ragged:
    """The targets of each query that have a positive label, `[events] float32`, at or after the query."""
    events, targets = judged.events, judged.queries.targets
    records = events.record_of_event()
    query_of_record = np.full(events.num_records, -1)
    query_of_record[records[judged.asked_at]] = np.arange(len(judged.asked_at))
    query = query_of_record[records]
    is_later = np.arange(len(events)) >= judged.asked_at[query]
    chosen = (labels >= 0.5) & is_later & (query >= 0) & (events.candidate_row >= 0)
    size = judged.queries.num_items
    positive = query[chosen] * size + events.candidate_row[chosen]
    return targets.where(np.isin(targets.row_of_value * size + targets.values, positive) & (targets.values >= 0))
