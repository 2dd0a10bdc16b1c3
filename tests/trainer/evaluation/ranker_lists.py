"""Candidate lists of three random features, and rankers that order by one of them."""

import numpy as np
import tensorflow as tf

from trainer.cascade.features import Standardisation
from trainer.cascade.lists import CandidateLists


def lists_of(*, num_lists: int, size: int, short: int = 0) -> CandidateLists:
    """Lists whose target has the largest first feature; the last `short` places of each are padding."""
    features = np.random.default_rng(5).normal(size=(num_lists, size, 3)).astype(np.float32)
    rows = np.tile(np.arange(size, dtype=np.int32), (num_lists, 1))
    if short:
        rows[:, -short:], features[:, -short:] = -1, 0.0
    best = np.where(rows >= 0, features[..., 0], -np.inf).argmax(axis=1)
    return CandidateLists(
        rows=rows,
        features=features,
        labels=np.eye(size, dtype=np.float32)[best],
        num_targets=np.ones(num_lists, np.int64),
        records=np.arange(num_lists),
        is_reserved=np.zeros(rows.shape, bool),
    )


class Ranker:
    """Stands for a list ranker: the logit is a weighted sum of the features."""

    def __init__(self, weights: np.ndarray) -> None:
        self.standardisation = Standardisation(3)
        self._weights = weights

    def __call__(self, features: np.ndarray, is_item: np.ndarray) -> tf.Tensor:
        return tf.where(is_item, tf.constant(features @ self._weights, tf.float32), -1e9)


def cares_for(feature: int) -> Ranker:
    """Orders by one feature alone."""
    return Ranker(np.eye(3)[feature])
