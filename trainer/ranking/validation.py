"""How well a ranking model predicts the labels of the validation pairs."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from trainer.data.batches import Gather
from trainer.data.catalogue import EncodedCatalogue
from trainer.data.labelled_pairs import LabelledPairs
from trainer.ranking.heads.contract import Values
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
        """`loss`, and what each head measures, as `task/metric`."""
        predictions = self._predictions(model)
        metrics: dict[str, float] = {LOSS: 0.0}
        for place, head in enumerate(model.heads):
            labels = self._pairs.labels[:, place]
            known = ~np.isnan(labels)
            if known.any():
                loss, found = head.validation(
                    labels[known], predictions[head.task_name][known], self._pairs.weight[known]
                )
                metrics[LOSS] += head.loss_weight * loss
                metrics |= {f"{head.task_name}/{name}": value for name, value in found.items()}
        return metrics

    def _predictions(self, model: RankingModel) -> dict[str, Values]:
        """By task: `[pairs]`."""
        scores = [
            model(batch["query"], {**self._candidates.gather(batch["candidate_row"]), **batch["pair"]})
            for batch in self._batches
        ]
        whole = {head.task_name: tf.concat([each[head.task_name] for each in scores], axis=0) for head in model.heads}
        return {name: values.numpy().astype(np.float64) for name, values in model.predictions(whole).items()}
