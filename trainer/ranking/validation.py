"""How well a ranking model predicts the labels of the validation pairs."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from trainer.data.batches import Gather
from trainer.data.catalogue import EncodedCatalogue
from trainer.data.events import Float32
from trainer.data.labelled_pairs import LabelledPairs
from trainer.ranking.model import RankingModel

LOSS = "loss"
"""The metric that chooses the epoch: the tasks' losses an example, by weight."""
_PAIRS_A_BLOCK = 8192


class RankingValidation:
    """The labelled pairs of the validation split."""

    def __init__(self, gather: Gather, pairs: LabelledPairs, candidates: EncodedCatalogue) -> None:
        """Gathers the pairs' features.

        Args:
            gather: Gather function of the pairs, from `pair_examples`.
            pairs: to be predicted.
            candidates: the catalogue.
        """
        self._pairs, self._candidates = pairs, candidates
        numbers = np.arange(len(pairs), dtype=np.int64)
        starts = range(0, len(pairs), _PAIRS_A_BLOCK)
        self._batches = [gather(tf.constant(numbers[start : start + _PAIRS_A_BLOCK])) for start in starts]

    def __call__(self, model: RankingModel) -> Mapping[str, float]:
        """`loss`, and what each head measures, as `task/metric`, before calibration; calibrates each head.

        So a checkpoint of an epoch has the calibration of that epoch's scores, and the choice of the epoch owes nothing
        to it.
        """
        scores = self._scores(model)
        metrics: dict[str, float] = {LOSS: 0.0}
        for place, head in enumerate(model.heads):
            labels = self._pairs.labels[:, place]
            known = ~np.isnan(labels)
            if known.any():
                of_task, weights = scores[head.task_name][known], self._pairs.weight[known]
                predictions = head.prediction(of_task).numpy().astype(np.float64)
                loss, found = head.validation(labels[known], predictions, weights)
                metrics[LOSS] += head.loss_weight * loss
                metrics |= {f"{head.task_name}/{name}": value for name, value in found.items()}
                head.calibrate(labels[known], of_task, weights)
        return metrics

    def _scores(self, model: RankingModel) -> dict[str, Float32]:
        """By task: `[pairs] float32`."""
        scores = [
            model(batch["query"], {**self._candidates.gather(batch["candidate_row"]), **batch["pair"]})
            for batch in self._batches
        ]
        return {head.task_name: np.concatenate([each[head.task_name] for each in scores]) for head in model.heads}
