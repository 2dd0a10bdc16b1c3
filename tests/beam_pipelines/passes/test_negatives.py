from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from beam_pipelines.config import LabelConfig, NegativesConfig, SplitConfig
from beam_pipelines.passes.negatives import (
    CatalogueNegatives,
    ItemDistribution,
    SessionEvents,
    sample_in_session,
    sample_negatives,
)
from features.schema import Schema
from tests.beam_pipelines.conftest import prepare

_NAMES = pa.array([str(n) for n in range(5)])
_EVENTS = np.array([100, 10, 1, 0, 1])


def items(found: CatalogueNegatives) -> np.ndarray:
    return np.array([int(item) for item in found.items.to_pylist()])


@pytest.mark.parametrize(("kind", "alpha"), [("uniform", 0.75), ("popularity", 0.5), ("popularity", 1.0)])
def test_the_distribution_is_popularity_to_the_power_alpha(kind, alpha) -> None:
    found = ItemDistribution.of(_NAMES, _EVENTS, NegativesConfig(kind=kind, alpha=alpha)).probability
    weights = np.where(_EVENTS > 0, _EVENTS**alpha if kind == "popularity" else 1.0, 0.0)
    np.testing.assert_allclose(found, weights / weights.sum())


def test_the_stated_probability_is_the_frequency() -> None:
    distribution = ItemDistribution.of(_NAMES, _EVENTS, NegativesConfig(kind="popularity", alpha=0.5))
    users = np.zeros(20_000, np.int64)
    found = sample_negatives(
        users, (np.array([0, 0]), np.array([0, 0])), distribution, per_positive=1, rng=np.random.default_rng(0)
    )
    for item in (1, 2, 4):
        stated = found.probability[items(found) == item]
        weight = np.sqrt(_EVENTS[item]) / np.sqrt(_EVENTS[1:]).sum()
        np.testing.assert_allclose(stated, weight, rtol=1e-6)
        # Within five standard deviations of a binomial share.
        assert abs(len(stated) / 20_000 - weight) < 5 * np.sqrt(weight * (1 - weight) / 20_000)
    assert not np.isin(items(found), [0, 3]).any()


def test_a_user_s_own_items_are_never_drawn() -> None:
    distribution = ItemDistribution.of(_NAMES[:4], np.ones(4, np.int64), NegativesConfig(kind="uniform"))
    known = (np.array([0, 0, 1, 1]), np.array([0, 1, 2, -1]))
    found = sample_negatives(np.array([0, 1, 0]), known, distribution, per_positive=50, rng=np.random.default_rng(1))
    owner = np.array([0, 1, 0])[found.positive]
    assert set(items(found)[owner == 0]) == {2, 3}
    assert set(items(found)[owner == 1]) == {0, 1, 3}
    np.testing.assert_allclose(found.probability, np.where(owner == 0, 1 / 2, 1 / 3), rtol=1e-6)


def test_a_user_with_every_item_gets_no_negatives() -> None:
    distribution = ItemDistribution.of(_NAMES[:2], np.ones(2, np.int64), NegativesConfig(kind="uniform"))
    known = (np.array([0, 0]), np.array([0, 1]))
    found = sample_negatives(np.array([0]), known, distribution, per_positive=3, rng=np.random.default_rng(1))
    assert len(found.items) == 0


def test_in_session_negatives_are_what_the_user_did_less_with() -> None:
    # Session 1: views a and b, buys b, carts c. Session 2: views d.
    events = SessionEvents(
        np.array([1, 1, 1, 1, 2]),
        pa.array(["a", "b", "b", "c", "d"]).dictionary_encode(),
        np.array([1.0, 1.0, 5.0, 3.0, 1.0]),
    )
    found = sample_in_session(events, np.array([2, 3, 4, 0]), per_positive=50, rng=np.random.default_rng(0))
    drawn = [
        {i for i, p in zip(found.items.to_pylist(), found.positive, strict=True) if p == place} for place in range(4)
    ]
    assert drawn == [{"a", "c"}, {"a"}, set(), set()]
    assert set(found.probability[found.positive == 0].tolist()) == {0.5}
    assert set(found.probability[found.positive == 1].tolist()) == {1.0}


def test_popularity_negatives_carry_their_probability(tmp_path: Path, ids_only: Schema) -> None:
    rows = [{"user_id": f"u{n}", "item_id": "hit", "timestamp": n} for n in range(9)]
    rows += [{"user_id": "x", "item_id": "flop", "timestamp": 1}, {"user_id": "y", "item_id": "mine", "timestamp": 1}]
    negatives = NegativesConfig(kind="popularity", alpha=0.5, per_positive=20)
    nothing = SplitConfig(validation=0.0, test=0.0)
    found = prepare(tmp_path, ids_only, interactions=rows, negatives=negatives, split=nothing)
    [mine] = [r for r in found.ranking()["train"] if r["user_id"] == ["y"]]
    stated = dict(zip(mine["item_id"], mine["sampling_probability"], strict=True))
    # sqrt(9) : sqrt(1) without the user's own item, which is logged with probability 1.
    assert stated == {"mine": 1.0, "hit": pytest.approx(0.75), "flop": pytest.approx(0.25)}


def test_in_session_negatives_were_seen_and_not_bought(tmp_path: Path, ids_only: Schema) -> None:
    visits = [("view", "a", 0), ("view", "b", 10), ("buy", "b", 20), ("view", "c", 30), ("view", "d", 9000)]
    rows = [{"user_id": "u", "item_id": item, "timestamp": at, "kind": kind} for kind, item, at in visits]
    found = prepare(
        tmp_path,
        ids_only,
        interactions=rows,
        label=LabelConfig(event_type_column="kind", event_weights={"view": 1.0, "buy": 4.0}),
        negatives=NegativesConfig(kind="in_session", per_positive=30),
        split=SplitConfig(validation=0.0, test=0.0),
    )
    [record] = found.ranking()["train"]
    negatives = {
        (item, second, probability)
        for item, second, label, probability in zip(
            *(record[n] for n in ("item_id", "timestamp", "label", "sampling_probability")), strict=True
        )
        if label == 0
    }
    # Only the purchase has something weaker in its session: a and c, equally likely; d belongs to the next session.
    assert negatives == {("a", 20, 0.5), ("c", 20, 0.5)}
