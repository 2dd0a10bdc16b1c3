"""The ranking model on the labelled events of a split, beside each item's mean label."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.errors import InputError
from features.records.contents import LABEL
from trainer.config.evaluation import EvaluationConfig
from trainer.data.batches import ranking_examples
from trainer.data.events import EncodedEvents, Int64, load_events
from trainer.metrics.probabilities import auc_interval, probability_metrics
from trainer.ranking.model import RankingModel
from trainer.restore import Trained

Values = npt.NDArray[np.float64]

# Training events that an item's mean label is worth before its own count: a Beta prior of this weight.
_PRIOR_EVENTS = 10.0
_EVENTS_A_BLOCK = 8192


def evaluate_ranking(
    trained: Trained[RankingModel], dataset: DatasetLayout, config: EvaluationConfig
) -> dict[str, Any]:
    """Predicts each labelled event of the split, each weighing what it weighs in training.

    Args:
        trained: the restored model.
        dataset: it was trained on.
        config: split and intervals.

    Returns:
        `model` and `baselines` (`item_mean`): each with `ProbabilityMetrics` as plain data and, where both labels
        occur, `auc_interval`.

    Raises:
        InputError: the split holds no labelled event.
    """
    rows = trained.candidates.rows()
    train = load_events(dataset.ranking("train"), trained.encoder, rows, ranking=True)
    events = load_events(dataset.ranking(config.split), trained.encoder, rows, ranking=True)
    targets = events.targets()
    if len(targets) == 0:
        raise InputError(f"{dataset.ranking(config.split)}: no labelled event to predict; check pipeline.split")
    labels, weights = events.label[targets].astype(np.float64), events.weight[targets].astype(np.float64)
    item_mean = _item_means(train, len(trained.candidates))[events.candidate_row[targets]]
    return {
        "model": _judge(labels, _probabilities(trained, events, targets), weights, config),
        "baselines": {"item_mean": _judge(labels, item_mean, weights, config)},
    }


def _probabilities(trained: Trained[RankingModel], events: EncodedEvents, targets: Int64) -> Values:
    gather = ranking_examples(events, trained.encoder.schema)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)])
    def predict(indices: tf.Tensor) -> tf.Tensor:
        batch = gather(indices)
        candidate = trained.candidates.gather(batch["candidate_row"]) | batch["item_at_the_time"]
        return tf.sigmoid(trained.model(batch["query"], candidate)[LABEL])

    starts = range(0, len(targets), _EVENTS_A_BLOCK)
    blocks = [predict(tf.constant(targets[start : start + _EVENTS_A_BLOCK])).numpy() for start in starts]
    return np.concatenate(blocks).astype(np.float64)


def _item_means(train: EncodedEvents, num_items: int) -> Values:
    """Each item's mean training label, `[items] float64`, drawn towards the overall mean where events are few."""
    targets = train.targets()
    rows, labels = train.candidate_row[targets], train.label[targets].astype(np.float64)
    weights = train.weight[targets].astype(np.float64)
    weights /= weights.mean() if len(weights) else 1.0
    overall = train.label_mean()
    sums = np.bincount(rows, weights=weights * labels, minlength=num_items)
    counts = np.bincount(rows, weights=weights, minlength=num_items)
    return (sums + _PRIOR_EVENTS * overall) / (counts + _PRIOR_EVENTS)


def _judge(labels: Values, probabilities: Values, weights: Values, config: EvaluationConfig) -> dict[str, Any]:
    result: dict[str, Any] = probability_metrics(labels, probabilities, weights).to_dict()
    if 0 < labels.sum() < len(labels):
        interval = auc_interval(labels, probabilities, weights=weights, confidence=config.confidence, seed=config.seed)
        result["auc_interval"] = [interval.low, interval.high]
    return result
