"""Folds of a rolling origin, pooled: intervals over the users of all folds, and a test over the folds themselves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from trainer.config.evaluation import EvaluationConfig
from trainer.evaluation.retrieval import JudgedModels
from trainer.metrics.intervals import Interval, Values, bootstrap_means, paired_test
from trainer.metrics.protocol import Int
from trainer.metrics.results import Evaluation
from trainer.restore import Trained


@dataclass(frozen=True, kw_only=True)
class JudgedFold:
    """One fold's models on its test."""

    models: tuple[Evaluation, ...]
    """The trained model and the baselines, in the same order in each fold."""
    users: tuple[str, ...]
    """`[queries]`: the user of each query; empty for users without training events, of whom nothing is known."""


def judged_fold(trained: Trained[Any], judged: JudgedModels, config: EvaluationConfig) -> JudgedFold:
    """The models with the ids of the users, which have other numbers in each fold.

    Args:
        trained: the fold's model.
        judged: that model and the baselines.
        config: names the split.
    """
    split, user_id = judged.data.judged, trained.encoder.schema.user_id
    records = split.events.record_of_event()[split.asked_at]
    if user_id not in split.events.user:
        return JudgedFold(models=(judged.model, *judged.baselines), users=("",) * len(records))
    vocabulary = trained.encoder.lookup(user_id).vocabulary
    places = split.events.user[user_id].astype(np.int64)[records] - vocabulary.first_token_index
    users = tuple(vocabulary.tokens[place] if place >= 0 else "" for place in places)
    return JudgedFold(models=(judged.model, *judged.baselines), users=users)


def pool(folds: Sequence[JudgedFold], config: EvaluationConfig) -> dict[str, Any]:
    """Metrics over the queries of all folds.

    Whole users are drawn for the intervals, with their queries of all folds, since those resemble each other. The test
    over folds is a t-test of the differences of the folds' means. It is optimistic: each fold trains on what an earlier
    one trained on too (Bengio and Grandvalet, JMLR 2004, https://jmlr.org/papers/v5/grandvalet04a.html).

    Args:
        folds: one or more, with the same models.
        config: precision of the intervals.

    Returns:
        `folds`: of each fold `num_queries` and the means of each model's metrics. `models`: by name, the metrics over
        all queries with intervals. `versus`: by baseline and metric, the model minus the baseline: `difference` with
        its interval and `p_value` over users, `folds_won` of all folds, and `p_value_of_folds`, None for a single fold.
    """
    groups = _groups(folds)
    names = [model.model for model in folds[0].models]
    pooled = [_per_query(folds, place) for place in range(len(names))]
    return {
        "folds": [_means(fold) for fold in folds],
        "models": {
            name: {metric: asdict(interval) for metric, interval in _intervals(values, groups, config).items()}
            for name, values in zip(names, pooled, strict=True)
        },
        "versus": {
            name: dict(_differences(folds, place, (pooled[0], pooled[place]), groups))
            for place, name in enumerate(names)
            if place > 0
        },
    }


def _groups(folds: Sequence[JudgedFold]) -> Int:
    """`[queries of all folds] int64`: numbers of the users; each query without a user is another one's."""
    number: dict[str, int] = {}
    groups = [
        number.setdefault(user or f"\n{fold} {query}", len(number))  # no user id of a table has a line break
        for fold, judged in enumerate(folds)
        for query, user in enumerate(judged.users)
    ]
    return np.array(groups, np.int64)


def _per_query(folds: Sequence[JudgedFold], place: int) -> dict[str, Values]:
    return {
        metric: np.concatenate([fold.models[place].per_query[metric] for fold in folds])
        for metric in folds[0].models[place].per_query
    }


def _intervals(values: Mapping[str, Values], groups: Int, config: EvaluationConfig) -> dict[str, Interval]:
    return bootstrap_means(values, groups, resamples=config.resamples, confidence=config.confidence)


def _means(fold: JudgedFold) -> dict[str, Any]:
    models = {model.model: {name: metric.value for name, metric in model.metrics.items()} for model in fold.models}
    return {"num_queries": len(fold.users), "models": models}


def _differences(
    folds: Sequence[JudgedFold], place: int, pooled: tuple[Mapping[str, Values], Mapping[str, Values]], groups: Int
) -> Iterator[tuple[str, dict[str, Any]]]:
    for metric, values in pooled[0].items():
        test = paired_test(values, pooled[1][metric], groups)
        by_fold = [fold.models[0].metrics[metric].value - fold.models[place].metrics[metric].value for fold in folds]
        yield (
            metric,
            asdict(test) | {"folds_won": sum(gain > 0 for gain in by_fold), "p_value_of_folds": _p_value(by_fold)},
        )


def _p_value(by_fold: Sequence[float]) -> float | None:
    """Of the two-sided t-test that the folds' differences are none."""
    if len(by_fold) < 2:
        return None
    if np.ptp(by_fold) == 0.0:  # the statistic is infinite or 0/0
        return float(by_fold[0] == 0.0)
    return float(stats.ttest_1samp(by_fold, 0.0).pvalue)
