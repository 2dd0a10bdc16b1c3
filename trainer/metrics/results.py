"""Ranked lists to an evaluation: metrics with intervals, the catalogue's view, slices; and models side by side."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from features.errors import InputError
from trainer.config.evaluation import EvaluationConfig
from trainer.metrics.intervals import Interval, PairedTest, bootstrap_means, paired_test, user_groups
from trainer.metrics.lists import catalogue_metrics, query_metrics
from trainer.metrics.protocol import UNKNOWN, Bool, EvaluationSet, Int, Ragged
from trainer.metrics.slices import Slices, standard_slices

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SliceEvaluation:
    """The metrics over a part of the queries or of the targets."""

    num_queries: int
    """Queries with a target in the slice; without any, there are no metrics."""
    num_targets: int
    """Targets in the slice."""
    metrics: Mapping[str, Interval]
    """Means over the slice's queries, under names such as `recall@10`."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What one model reached on one evaluation set."""

    model: str
    """The model's name in tables and files."""
    num_queries: int
    """Queries judged."""
    num_targets: int
    """Targets to be found, those outside the catalogue included."""
    num_unreachable_targets: int
    """Targets that are not in the catalogue: no ranking can find them."""
    metrics: Mapping[str, Interval]
    """Means over the queries, under names such as `recall@10`."""
    catalogue: Mapping[str, float]
    """Coverage, Gini, novelty and mean popularity of the lists, under names such as `coverage@10`."""
    slices: Mapping[str, SliceEvaluation]
    """The same metrics over parts."""
    per_query: Mapping[str, Values] = field(repr=False)
    """`[queries] float64` a metric: what paired tests need; not part of `to_dict`."""
    user_groups: Int = field(repr=False)
    """`[queries] int64`: the user of each query, numbered from 0; not part of `to_dict`."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the plain form that `metrics.json` holds."""
        shown = {name: value for name, value in self.__dict__.items() if name not in ("per_query", "user_groups")}
        shown["metrics"] = {name: asdict(interval) for name, interval in self.metrics.items()}
        shown["catalogue"] = dict(self.catalogue)
        shown["slices"] = {name: asdict(part) for name, part in self.slices.items()}
        return shown


def evaluate_rankings(
    model: str,
    ranked: Int,
    queries: EvaluationSet,
    *,
    popularity: Int,
    config: EvaluationConfig | None = None,
    slices: Slices | None = None,
) -> Evaluation:
    """Judges ranked lists.

    Args:
        model: the model's name.
        ranked: `[queries, >= largest cut-off] int64`: distinct item rows, best first; `UNKNOWN` where a list is short.
        queries: what the lists answer.
        popularity: `[num_items] int64`: train events of each item.
        config: cut-offs and precision; None takes the defaults.
        slices: the parts to judge apart; None takes `standard_slices`.

    Raises:
        InputError: if there are no queries.
        ValueError: if the lists do not belong to the queries or are shorter than a cut-off.
    """
    if len(queries) == 0:
        raise InputError("the evaluation set is empty: no user has both a history and later targets; check the split")
    if len(ranked) != len(queries):
        raise ValueError(f"expected one ranked list a query, got {len(ranked)} lists for {len(queries)} queries")
    config = config or EvaluationConfig()
    slices = slices or standard_slices(queries, popularity)
    groups = user_groups(queries.user_rows)
    per_query = query_metrics(ranked, queries.targets, config.cutoffs)
    catalogue = [catalogue_metrics(ranked, popularity, k) for k in config.cutoffs]
    parts = {
        name: _evaluate_slice(queries.targets.where(kept), ranked, groups, config)
        for name, kept in _targets_of_slices(queries.targets, slices).items()
    }
    return Evaluation(
        model=model,
        num_queries=len(queries),
        num_targets=len(queries.targets.values),
        num_unreachable_targets=int(np.count_nonzero(queries.targets.values == UNKNOWN)),
        metrics=_means(per_query, groups, config),
        catalogue={name: value for metrics in catalogue for name, value in metrics.items()},
        slices=parts,
        per_query=per_query,
        user_groups=groups,
    )


def compare(evaluation: Evaluation, baseline: Evaluation, metrics: Iterable[str]) -> dict[str, PairedTest]:
    """Tests a model's metrics against those of a baseline on the same evaluation set.

    Raises:
        ValueError: if the two have different numbers of queries.
    """
    return {
        name: paired_test(evaluation.per_query[name], baseline.per_query[name], evaluation.user_groups)
        for name in metrics
    }


def _targets_of_slices(targets: Ragged, slices: Slices) -> dict[str, Bool]:
    """`[total targets] bool` a slice: which targets belong to it."""
    known = targets.values != UNKNOWN
    by_query = {name: chosen[targets.row_of_value] for name, chosen in slices.queries.items()}
    return by_query | {name: chosen[targets.values] & known for name, chosen in slices.items.items()}


def _evaluate_slice(targets: Ragged, ranked: Int, groups: Int, config: EvaluationConfig) -> SliceEvaluation:
    rows = np.flatnonzero(targets.lengths)
    metrics = query_metrics(ranked[rows], targets.take(rows), config.cutoffs)
    return SliceEvaluation(
        num_queries=len(rows),
        num_targets=len(targets.values),
        metrics=_means(metrics, np.unique(groups[rows], return_inverse=True)[1], config) if len(rows) else {},
    )


def _means(per_query: Mapping[str, Values], groups: Int, config: EvaluationConfig) -> dict[str, Interval]:
    return bootstrap_means(
        per_query, groups, resamples=config.resamples, confidence=config.confidence, seed=config.seed
    )
