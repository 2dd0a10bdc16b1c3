"""Importance of features whose worth is known."""

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.evaluation.ranker_lists import cares_for, lists_of
from trainer.evaluation.importance import permutation_importance, permuted

GROUPS = ("useful", "useless", "useful")


def test_what_the_ranker_reads_is_important_and_what_it_does_not_is_not() -> None:
    lists = lists_of(num_lists=60, size=20)
    useful, useless = permutation_importance(cares_for(0), lists, GROUPS, cutoff=5, seed=1)
    assert (useful["group"], useful["features"]) == ("useful", 2)
    assert (useless["group"], useless["features"]) == ("useless", 1)
    # The target has the largest first feature: first place before, a place by chance after.
    by_chance = np.mean([1 / np.log2(rank + 2) if rank < 5 else 0.0 for rank in range(20)])
    assert useful["loss"]["low"] < 1 - by_chance < useful["loss"]["high"]
    assert useful["loss"]["value"] == pytest.approx(1 - by_chance, abs=0.1)
    assert useless["loss"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_candidates_exchange_the_values_of_a_group_together_and_padding_stays() -> None:
    lists = lists_of(num_lists=3, size=6, short=2)
    changed = permuted(lists, np.array([True, False, True]), np.random.default_rng(0))
    np.testing.assert_array_equal(changed.features[..., 1], lists.features[..., 1])
    is_item = lists.rows >= 0
    np.testing.assert_array_equal(changed.features[~is_item], lists.features[~is_item])
    assert not np.array_equal(changed.features, lists.features)
    for before, after, kept in zip(lists.features, changed.features, is_item, strict=True):
        pairs, mixed = (sorted(map(tuple, values[kept][:, [0, 2]].tolist())) for values in (before, after))
        assert pairs == mixed


def test_one_candidate_has_nobody_to_exchange_with() -> None:
    (group,) = permutation_importance(cares_for(0), lists_of(num_lists=4, size=1), ("all",) * 3, cutoff=5, seed=1)
    assert group["loss"]["value"] == 0.0
    assert tf.math.is_finite(group["loss"]["low"])
