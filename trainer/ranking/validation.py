"""How well a ranking model predicts the labels of the validation events."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from sklearn.metrics import log_loss, roc_auc_score

from features.records.contents import LABEL
from trainer.data.batches import Gather
from trainer.data.catalogue import EncodedCatalogue
from trainer.data.events import Int64
from trainer.ranking.model import RankingModel

LOG_LOSS = "log_loss"
_EVENTS_A_BLOCK = 8192


class RankingValidation:
    """The labelled events of the validation split."""

    def __init__(self, gather: Gather, events: Int64, candidates: EncodedCatalogue) -> None:
        """Gathers the events' features.

        Args:
            gather: of the validation split.
            events: indices of the events to predict.
            candidates: the catalogue.
        """
        self._candidates = candidates
        starts = range(0, len(events), _EVENTS_A_BLOCK)
        self._batches = [gather(tf.constant(events[start : start + _EVENTS_A_BLOCK])) for start in starts]
        self._labels = np.concatenate([batch["label"].numpy() for batch in self._batches])
        self._weights = np.concatenate([batch["weight"].numpy() for batch in self._batches])

    def __call__(self, model: RankingModel) -> Mapping[str, float]:
        """Log loss, and AUC where both labels occur."""
        logits = [
            model(batch["query"], self._candidates.gather(batch["candidate_row"]) | batch["item_at_the_time"])[LABEL]
            for batch in self._batches
        ]
        probability = tf.sigmoid(tf.concat(logits, axis=0)).numpy().astype(np.float64)
        is_positive = self._labels >= 0.5
        loss = log_loss(is_positive, probability, sample_weight=self._weights, labels=[False, True])
        metrics = {LOG_LOSS: float(loss)}
        if 0 < is_positive.sum() < len(is_positive):
            metrics["auc"] = float(roc_auc_score(is_positive, probability, sample_weight=self._weights))
        return metrics
