"""Folds of a rolling origin, pooled: intervals over the users of all folds, and a test over the folds themselves."""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from features.disk.files import write_bytes_atomically
from trainer.config.evaluation import EvaluationConfig
from trainer.evaluation.retrieval import JudgedModels
from trainer.metrics.intervals import Interval, Values, bootstrap_means, paired_test
from trainer.metrics.protocol import Int
from trainer.metrics.results import Evaluation
from trainer.restore import Trained


@dataclass(frozen=True, kw_only=True)
class JudgedFold:
    """One fold's models on its test."""

    per_query: Mapping[str, Mapping[str, Values]]
    """By model and metric, `[queries] float64`: the trained model and the baselines, in the same order in each fold."""
    users: tuple[str, ...]
    """`[queries]`: the user of each query; empty for users without training events, of whom nothing is known."""

    @classmethod
    def of(cls, models: Sequence[Evaluation], users: Sequence[str]) -> "JudgedFold":
        """The fold of these models' evaluations."""
        return cls(per_query={model.model: model.per_query for model in models}, users=tuple(users))

    def mean(self, model: str, metric: str) -> float:
        """A model's metric over all queries."""
        return float(self.per_query[model][metric].mean())


def write_judged(path: Path, fold: JudgedFold, inputs: Mapping[str, str]) -> None:
    """Keeps a judgement, with the fingerprints of what it was made from."""
    columns = [(model, metric) for model, metrics in fold.per_query.items() for metric in metrics]
    file = io.BytesIO()
    np.savez_compressed(
        file,
        inputs=json.dumps(dict(inputs), sort_keys=True),
        columns=json.dumps(columns),
        values=np.array([fold.per_query[model][metric] for model, metric in columns]),
        users=json.dumps(fold.users),
    )
    write_bytes_atomically(path, file.getvalue())


def read_judged(path: Path, inputs: Mapping[str, str]) -> JudgedFold | None:
    """A judgement that was made from the same inputs; None if there is none, or if the file is damaged."""
    try:
        with np.load(io.BytesIO(path.read_bytes())) as kept:  # by path, NumPy leaves a damaged file open
            if json.loads(str(kept["inputs"])) != dict(inputs):
                return None
            per_query: dict[str, dict[str, Values]] = {}
            for (model, metric), values in zip(json.loads(str(kept["columns"])), kept["values"], strict=True):
                per_query.setdefault(model, {})[metric] = values
            return JudgedFold(per_query=per_query, users=tuple(json.loads(str(kept["users"]))))
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile):
        return None


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
        return JudgedFold.of((judged.model, *judged.baselines), ("",) * len(records))
    vocabulary = trained.encoder.lookup(user_id).vocabulary
    places = split.events.user[user_id].astype(np.int64)[records] - vocabulary.first_token_index
    users = tuple(vocabulary.tokens[place] if place >= 0 else "" for place in places)
    return JudgedFold.of((judged.model, *judged.baselines), users)


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
    names = list(folds[0].per_query)
    pooled = {name: _per_query(folds, name) for name in names}
    return {
        "folds": [_means(fold) for fold in folds],
        "models": {
            name: {metric: asdict(interval) for metric, interval in _intervals(values, groups, config).items()}
            for name, values in pooled.items()
        },
        "versus": {
            name: dict(_differences(folds, (names[0], name), (pooled[names[0]], pooled[name]), groups))
            for name in names[1:]
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


def _per_query(folds: Sequence[JudgedFold], model: str) -> dict[str, Values]:
    metrics = folds[0].per_query[model]
    return {metric: np.concatenate([fold.per_query[model][metric] for fold in folds]) for metric in metrics}


def _intervals(values: Mapping[str, Values], groups: Int, config: EvaluationConfig) -> dict[str, Interval]:
    return bootstrap_means(values, groups, resamples=config.resamples, confidence=config.confidence)


def _means(fold: JudgedFold) -> dict[str, Any]:
    models = {model: {name: fold.mean(model, name) for name in metrics} for model, metrics in fold.per_query.items()}
    return {"num_queries": len(fold.users), "models": models}


def _differences(
    folds: Sequence[JudgedFold],
    models: tuple[str, str],
    pooled: tuple[Mapping[str, Values], Mapping[str, Values]],
    groups: Int,
) -> Iterator[tuple[str, dict[str, Any]]]:
    ours, theirs = models
    for metric, values in pooled[0].items():
        test = paired_test(values, pooled[1][metric], groups)
        by_fold = [fold.mean(ours, metric) - fold.mean(theirs, metric) for fold in folds]
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
