"""Which order is served, decided on lists whose orders are known."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.cascade.lists import CandidateLists
from trainer.cascade.validation import GAIN_HIGH, GAIN_LOW, NDCG, RETRIEVAL_NDCG, ListValidation, verdict

SECOND = 1.0 / np.log2(3.0)
"""NDCG of a list whose only target stands second."""


def lists_of(places: list[int], records: list[int]) -> CandidateLists:
    """Lists of two candidates whose target has these places in retrieval's order; the only feature is the place."""
    labels = np.eye(2, dtype=np.float32)[places]
    features = np.tile(np.arange(2, dtype=np.float32)[None, :, None], (len(places), 1, 1))
    return CandidateLists(
        rows=np.tile(np.arange(2, dtype=np.int32), (len(places), 1)),
        features=features,
        labels=labels,
        num_targets=np.ones(len(places), np.int64),
        records=np.array(records),
        is_reserved=np.zeros((len(places), 2), bool),
    )


def reversing(features: np.ndarray, is_item: np.ndarray) -> tf.Tensor:
    """Ranks the second candidate first."""
    return tf.constant(features[..., 0])


def test_what_is_better_for_nearly_everyone_is_served() -> None:
    metrics = ListValidation(lists_of([1] * 36 + [0] * 4, list(range(40))), cutoff=2)(reversing)
    assert metrics[NDCG] == pytest.approx((36 + 4 * SECOND) / 40)
    assert metrics[RETRIEVAL_NDCG] == pytest.approx((36 * SECOND + 4) / 40)
    assert 0 < metrics[GAIN_LOW] < metrics[NDCG] - metrics[RETRIEVAL_NDCG] < metrics[GAIN_HIGH]
    assert verdict(metrics).ranks
    assert f"{metrics[NDCG]:.4f} by the list ranker" in verdict(metrics).reason


def test_a_mean_gain_that_may_be_chance_is_not_served() -> None:
    metrics = ListValidation(lists_of([1, 1, 1, 0, 0], list(range(5))), cutoff=2)(reversing)
    assert metrics[NDCG] > metrics[RETRIEVAL_NDCG]
    assert metrics[GAIN_LOW] < 0
    assert not verdict(metrics).ranks
    assert "not all above 0" in verdict(metrics).reason


def test_many_lists_of_one_user_are_no_more_certain_than_one() -> None:
    places = [1] * 38 + [0] * 2
    alone = ListValidation(lists_of(places, list(range(40))), cutoff=2)(reversing)
    # One user has all the gains, two others lose.
    together = ListValidation(lists_of(places, [7] * 38 + [8, 9]), cutoff=2)(reversing)
    assert alone[NDCG] == together[NDCG]
    assert verdict(alone).ranks
    assert not verdict(together).ranks


def test_without_validation_lists_retrieval_orders() -> None:
    assert not verdict({"epochs": 3.0}).ranks
    assert "no validation lists" in verdict({"epochs": 3.0}).reason
