"""What the ranking model is judged beside: predictions of labels that need no network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from features.disk.layout import DatasetLayout, Split
from features.disk.shards import shards
from features.schema import Schema
from features.spec.tasks import TaskType
from trainer.baselines.ratings import RATING_BASELINES, RatedPairs, fit_tuned
from trainer.data.events import EncodedEvents, load_events
from trainer.data.labelled_pairs import LabelledPairs, logged_pairs
from trainer.evaluation.queries import Users, rows_of_records, training_users
from trainer.metrics.protocol import Int
from trainer.ranking.heads.contract import Values
from trainer.ranking.model import RankingModel
from trainer.restore import Trained

# Training pairs that an item's mean label is worth before its own count: a Beta prior of this weight.
_PRIOR_PAIRS = 10.0


@dataclass(frozen=True, kw_only=True)
class LabelledSplits:
    """The labelled events of the training, of validation and of the split that is judged."""

    train: LabelledPairs
    validation: LabelledPairs | None
    judged: LabelledPairs
    judged_events: EncodedEvents
    """The events of the judged pairs."""
    user_rows: Mapping[str, Int]
    """`[pairs] int64` by the name of the field: number of each pair's user among those of the training."""
    num_users: int
    num_items: int


def load_splits(trained: Trained[RankingModel], dataset: DatasetLayout, split: Split) -> LabelledSplits:
    """Loads them, with users numbered by the training split."""
    schema, rows = trained.encoder.schema, trained.candidates.rows()
    has_user = schema.user_id in {feature.name for feature in schema.query}
    first = trained.encoder.lookup(schema.user_id).vocabulary.first_token_index if has_user else 0

    def load(name: Split) -> EncodedEvents:
        return load_events(dataset.ranking(name), trained.encoder, rows, records="ranking")

    train, judged = load("train"), load(split)
    validation = load("validation") if shards(dataset.ranking("validation")) else None
    users = training_users(train, schema, first)
    events = {"train": train, "judged": judged} | ({} if validation is None else {"validation": validation})
    pairs = {name: logged_pairs(each) for name, each in events.items()}
    return LabelledSplits(
        train=pairs["train"],
        validation=pairs.get("validation"),
        judged=pairs["judged"],
        judged_events=judged,
        user_rows={name: _users_of(pairs[name], each, schema, users, first) for name, each in events.items()},
        num_users=len(users.keys),
        num_items=len(trained.candidates),
    )


def predicted_by_baselines(splits: LabelledSplits, task_type: TaskType, place: int) -> dict[str, Values]:
    """Predictions of the judged pairs by baseline, `[pairs] float64`.

    Args:
        splits: The labelled events.
        task_type: Type of the task.
        place: Number of the task.
    """
    return _BASELINES[task_type](splits, place)


def _item_mean(splits: LabelledSplits, place: int) -> dict[str, Values]:
    """Each item's mean training label, drawn towards the overall mean where pairs are few."""
    train, mean = splits.train, splits.train.label_moments()[place].mean
    known = ~np.isnan(train.labels[:, place])
    rows, labels = train.candidate_row[known], train.labels[known, place].astype(np.float64)
    weights = train.weight[known].astype(np.float64)
    weights /= weights.mean() if len(weights) else 1.0
    sums = np.bincount(rows, weights=weights * labels, minlength=splits.num_items)
    counts = np.bincount(rows, weights=weights, minlength=splits.num_items)
    means = (sums + _PRIOR_PAIRS * mean) / (counts + _PRIOR_PAIRS)
    return {"item_mean": means[splits.judged.candidate_row]}


def _ratings(splits: LabelledSplits, place: int) -> dict[str, Values]:
    """The baselines of ratings, tuned on validation, within the range of the training labels."""
    train = _rated(splits, splits.train, "train", place)
    validation = None if splits.validation is None else _rated(splits, splits.validation, "validation", place)
    users, items = splits.user_rows["judged"], splits.judged.candidate_row.astype(np.int64)
    low, high = train.labels.min(), train.labels.max()
    return {
        name: np.clip(fit_tuned(baseline, train, validation).predict(users, items), low, high)
        for name, baseline in RATING_BASELINES.items()
    }


_BASELINES: Mapping[TaskType, Callable[[LabelledSplits, int], dict[str, Values]]] = {
    "binary": _item_mean,
    "regression": lambda splits, place: _item_mean(splits, place) | _ratings(splits, place),
}


def _rated(splits: LabelledSplits, pairs: LabelledPairs, name: str, place: int) -> RatedPairs:
    known = ~np.isnan(pairs.labels[:, place])
    weights = pairs.weight[known].astype(np.float64)
    return RatedPairs(
        user_rows=splits.user_rows[name][known],
        item_rows=pairs.candidate_row[known].astype(np.int64),
        labels=pairs.labels[known, place].astype(np.float64),
        weights=weights / weights.mean() if len(weights) else weights,
        num_users=splits.num_users,
        num_items=splits.num_items,
    )


def _users_of(pairs: LabelledPairs, events: EncodedEvents, schema: Schema, users: Users, first: int) -> Int:
    rows: Int = rows_of_records(events, schema, users, first)[events.record_of_event()[pairs.event]]
    return rows
