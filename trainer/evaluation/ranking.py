"""The ranking model on the labelled events of a split, beside baselines, task by task."""

from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.errors import InputError
from trainer.config.evaluation import EvaluationConfig
from trainer.data.batches import gather_query
from trainer.data.events import EncodedEvents, Float32, Int64
from trainer.data.labelled_pairs import LabelledPairs, pair_examples
from trainer.evaluation.label_baselines import load_splits, predicted_by_baselines
from trainer.metrics.intervals import paired_test, user_groups
from trainer.metrics.protocol import Int
from trainer.ranking.calibration.choose import NONE
from trainer.ranking.heads.contract import Head, Values
from trainer.ranking.model import RankingModel
from trainer.restore import Trained

_PAIRS_A_BLOCK = 8192


def evaluate_ranking(
    trained: Trained[RankingModel], dataset: DatasetLayout, config: EvaluationConfig
) -> dict[str, Any]:
    """Predicts each labelled event of the split, each weighing what it weighs in training.

    Args:
        trained: the restored model.
        dataset: it was trained on.
        config: split and intervals.

    Returns:
        `tasks`: by the name of each task its `type`, the `calibration` that validation chose, and what its head
        measures, as plain data, for `model` and `baselines`: `uncalibrated` where the model is calibrated, and those
        of `trainer.evaluation.label_baselines`. Each but the model has a `difference`: the model's mean error, squared
        of regressions and log loss of binary tasks, minus its own, with a paired bootstrap interval over users.

    Raises:
        InputError: the split holds no labelled event.
    """
    splits = load_splits(trained, dataset, config.split)
    pairs = splits.judged
    if len(pairs) == 0:
        raise InputError(f"{dataset.ranking(config.split)}: no labelled event to predict; check pipeline.split")
    scores = score_pairs(trained, splits.judged_events, pairs)
    tasks = {}
    for place, (task, head) in enumerate(zip(trained.encoder.schema.task, trained.model.heads, strict=True)):
        labels = pairs.labels[:, place].astype(np.float64)
        known = ~np.isnan(labels)
        if not known.any():
            raise InputError(f"{dataset.ranking(config.split)}: no event with a label of task {task.name!r}")
        judged = _predictions(head, scores[task.name]) | predicted_by_baselines(splits, task.type, place)
        weights = pairs.weight[known].astype(np.float64)
        found = {name: head.evaluation(labels[known], of[known], weights, config) for name, of in judged.items()}
        errors = {name: head.errors(labels[known], of[known]) * weights / weights.mean() for name, of in judged.items()}
        users = user_groups(splits.user_rows["judged"][known])
        for name in judged.keys() - {"model"}:
            found[name]["difference"] = _difference(errors["model"], errors[name], users, config)
        tasks[task.name] = {
            "type": task.type,
            "calibration": head.calibration,
            "model": found.pop("model"),
            "baselines": found,
        }
    return {"tasks": tasks}


def _difference(
    model: npt.NDArray[np.float64], other: npt.NDArray[np.float64], users: Int, config: EvaluationConfig
) -> dict[str, float]:
    """Mean error of the model minus another's over the same pairs, with the bootstrap interval over users."""
    test = paired_test(model, other, users, confidence=config.confidence, seed=config.seed)
    return asdict(test.difference)


def _predictions(head: Head, scores: Float32) -> dict[str, Values]:
    """What the model predicts, and what it would without its calibration."""
    found = {"model": head.prediction(head.calibrated(scores)).numpy().astype(np.float64)}
    if head.calibration != NONE:
        found["uncalibrated"] = head.prediction(tf.constant(scores)).numpy().astype(np.float64)
    return found


def score_pairs(trained: Trained[RankingModel], events: EncodedEvents, pairs: LabelledPairs) -> dict[str, Float32]:
    """The model's scores of pairs before calibration, `[pairs] float32` by task.

    Args:
        trained: the restored model.
        events: those that the pairs belong to.
        pairs: their labels are not looked at.
    """
    gather = pair_examples(events, pairs, trained.encoder.schema)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)], autograph=False)
    def score(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = gather(numbers)
        candidate = {**trained.candidates.gather(batch["candidate_row"]), **batch["pair"]}
        return dict(trained.model(batch["query"], candidate))

    numbers = np.arange(len(pairs), dtype=np.int64)
    starts = range(0, len(pairs), _PAIRS_A_BLOCK)
    blocks = [score(tf.constant(numbers[start : start + _PAIRS_A_BLOCK])) for start in starts]
    return {
        head.task_name: np.concatenate([block[head.task_name].numpy() for block in blocks])
        for head in trained.model.heads
    }


def predict_candidates(
    trained: Trained[RankingModel], events: EncodedEvents, asked_at: Int64, rows: Int
) -> dict[str, npt.NDArray[np.float32]]:
    """What the model predicts of several items a query, as they are now: `[queries, n] float32` by task.

    Args:
        trained: the restored model.
        events: those that the queries are asked at.
        asked_at: `[queries] int64`: the event whose user, context and moment each query has.
        rows: `[queries, n] int64`: rows of the catalogue.
    """
    query = gather_query(events, trained.encoder.schema)(tf.constant(asked_at))
    candidates = trained.candidates.gather(tf.constant(rows.reshape(-1), tf.int32))
    query_of_pair = tf.repeat(tf.range(len(rows)), rows.shape[1])
    predictions = trained.model.predictions(trained.model(query, candidates, query_of_pair))
    return {task: values.numpy().reshape(rows.shape) for task, values in predictions.items()}
