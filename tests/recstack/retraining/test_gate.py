"""Each rule of the gate refuses evidence that was spoilt for it, and passes the same evidence unspoilt."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.errors import ConfigError
from recstack.retraining.config import GateConfig, PredictionsRule
from recstack.retraining.gate.check import Check
from recstack.retraining.gate.decision import Decision, read_decision
from recstack.retraining.gate.evidence import ComputedTwice, Evidence
from recstack.retraining.gate.lists import score_drift
from recstack.retraining.gate.table import RULES, judge
from tests.recstack.retraining.evidence import (
    COUNTS,
    FACTS,
    GATE,
    TARGETS,
    USERS,
    evaluation,
    evidence,
    half,
    lists,
    perfect,
)

OF_TRAINING = np.array([[1.0, -2.0]], np.float32)


def refused_by(found: Evidence, gate: GateConfig = GATE) -> set[str]:
    return {check.rule for check in judge(found, gate) if not check.passed}


def test_nothing_refuses_a_second_night_like_the_first() -> None:
    checks = judge(evidence(), GATE)
    assert [check for check in checks if not check.passed] == []
    assert {check.rule for check in checks} == set(RULES)


def test_a_night_that_no_baseline_could_judge_is_no_night() -> None:
    found = replace(evidence(), evaluation={**evidence().evaluation, "baselines": {}})
    gate = replace(GATE, baselines=replace(GATE.baselines, names=("context_popularity",)))
    with pytest.raises(ConfigError, match=r"gate\.baselines\.names = .*a baseline that this log can have"):
        judge(found, gate)


def both(rows: Any) -> dict[str, Any]:
    """The same lists by both models, so that the cascade is not below retrieval."""
    return {"retrieval": rows, "recommender": rows}


@pytest.mark.parametrize(
    ("rules", "spoilt"),
    [
        # All users lose half of their recall.
        ({"quality", "slices"}, {"new": both(half()), "exact": half().rows}),
        # The list ranker halves what retrieval finds, though the live one did as well.
        (
            {"cascade"},
            {"new": {"retrieval": perfect(), "recommender": half()}, "live": {"recommender": half()}},
        ),
        # The index holds other items than the trained model ranks first.
        ({"index"}, {"exact": TARGETS[:, ::-1] // 2}),
        ({"parity"}, {"computed_twice": {"v": ComputedTwice(served=OF_TRAINING + 0.003, trained=OF_TRAINING)}}),
        ({"baselines"}, {"evaluation": evaluation(0.3, 0.35, -0.08, -0.02)}),
        ({"quality"}, {"live_level": {"recall@2": 1.01}}),
        ({"baselines"}, {"evaluation": evaluation(0.34, 0.35, -0.04, 0.02), "live": {}, "live_data": None}),
        ({"budgets"}, {"new_bytes": {"retrieval": 2**21 + 1}}),
        ({"budgets"}, {"new_bytes": {"retrieval": 2**33 + 1}, "live_bytes": {}}),
        ({"budgets"}, {"milliseconds": {"retrieval": 250.1}}),
        # Every place is of an item that nobody has interacted with.
        ({"coverage"}, {"popularity": np.zeros(10, np.int64)}),
        ({"data"}, {"data": replace(FACTS, counts={**COUNTS, "events_train": 59})}),
        ({"data"}, {"data": replace(FACTS, counts={**COUNTS, "events_train": 281})}),
        ({"data"}, {"data": replace(FACTS, counts={**COUNTS, "interactions_duplicates": 21})}),
        ({"data"}, {"data": replace(FACTS, counts={**COUNTS, "rejected: no user": 11, "rejected: no time": 10})}),
        ({"data"}, {"data": replace(FACTS, items=7)}),
        ({"data"}, {"data": replace(FACTS, dataset="b")}),
        ({"data"}, {"drift": {"price": 0.1, "brand": 1.01}}),
    ],
)
def test_a_rule_refuses_what_is_spoilt_for_it(rules: set[str], spoilt: dict[str, Any]) -> None:
    assert refused_by(evidence(**spoilt)) == rules


def test_lists_without_a_common_item_are_refused() -> None:
    # Nobody is to find anything, so that the lists alone differ.
    nothing = replace(evidence().targets, values=np.full(2 * USERS, -1))
    strange = lists(9 - TARGETS)
    found = evidence(new=both(strange), exact=strange.rows, targets=nothing)
    shared = np.mean([np.isin(ours, theirs).mean() for ours, theirs in zip(strange.rows, TARGETS, strict=True)])
    gate = replace(GATE, predictions=PredictionsRule(smallest_overlap=float(shared) + 0.01))
    assert refused_by(found, gate) == {"predictions"}
    assert refused_by(found, replace(GATE, predictions=PredictionsRule(smallest_overlap=float(shared)))) == set()


def test_the_band_of_the_overlap_has_an_upper_end() -> None:
    gate = replace(GATE, predictions=PredictionsRule(largest_overlap=0.99))
    assert refused_by(evidence(), gate) == {"predictions"}


def test_a_shrunken_coverage_is_refused() -> None:
    # All users are shown the same two items of the nine that the live lists show: less than half of its coverage.
    same = lists(np.tile([3, 4], (USERS, 1)))
    found = evidence(new=both(same), exact=same.rows)
    assert "coverage" in refused_by(found)
    assert "coverage" not in refused_by(replace(found, live=both(same)))


def test_one_unlucky_user_refuses_nothing() -> None:
    """One of eight users loses half: the mean falls by a sixteenth, which is beyond the margin but not certain."""
    found = evidence(new=both(half(1)), exact=half(1).rows)
    quality, *_ = (check for check in judge(found, GATE) if check.rule == "quality")
    assert "difference -0.0625" in quality.detail
    assert -GATE.quality.margin * 1.0 == quality.threshold
    assert refused_by(found) == set()


def test_a_slice_may_lose_what_the_mean_hides() -> None:
    """The even users lose half of what the odd ones win: only the slice of the even ones is certain to have lost."""
    rows, live = TARGETS.copy(), TARGETS.copy()
    rows[::2, 1] = live[1::2, 1] = (TARGETS[::2, 0] + 5) % 10
    found = evidence(new=both(lists(rows)), live=both(lists(live)), exact=rows)
    assert refused_by(found) == {"slices"}


def test_a_list_that_no_list_ranker_orders_is_not_compared_with_retrieval() -> None:
    found = evidence(new={"retrieval": perfect(), "recommender": half()}, live={}, has_list_ranker=False)
    assert "cascade" not in {check.rule for check in judge(found, GATE)}


def test_a_later_model_may_be_level_with_a_baseline_within_chance() -> None:
    assert refused_by(evidence(evaluation=evaluation(0.34, 0.35, -0.04, 0.02))) == set()


def test_the_same_dataset_need_not_be_newer() -> None:
    assert refused_by(evidence(data=replace(FACTS, newest=1_001, dataset="b"))) == set()
    assert refused_by(evidence(data=FACTS)) == set()


def test_a_first_model_has_nothing_to_be_compared_with() -> None:
    checks = judge(evidence(live={}, live_data=None, live_level={}, live_bytes={}, drift={}), GATE)
    assert {check.rule for check in checks}.isdisjoint({"quality", "slices", "predictions"})
    assert all(check.passed for check in checks)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_is_off_says_nothing(rule: str) -> None:
    gate = replace(GATE, **{rule: replace(getattr(GATE, rule), enabled=False)})
    assert {check.rule for check in judge(evidence(), gate)} == set(RULES) - {rule}


def test_score_drift_is_the_stability_index_over_deciles() -> None:
    before = np.arange(100, dtype=np.float32)
    assert score_drift(before, before) == 0.0
    # All scores of the lower half have moved into the last decile: its share is 0.6, five others are empty.
    now = np.concatenate([before[50:], np.full(50, 99.0, np.float32)])
    prior = 1e-4
    moved = 5 * -0.1 * np.log(prior / (0.1 + prior)) + 0.5 * np.log((0.6 + prior) / (0.1 + prior))
    assert score_drift(before, now) == pytest.approx(moved, rel=1e-4)


def test_a_value_that_is_no_number_is_refused() -> None:
    check = Check(rule="quality", what="nothing", measured=float("nan"), bound="at least", threshold=0.0)
    assert not check.passed


def test_a_decision_is_read_as_it_was_written(tmp_path: Path) -> None:
    decision = Decision(
        inputs={"retrieval": "b"}, live={"retrieval": "a"}, queries=8, checks=tuple(judge(evidence(), GATE))
    )
    path = tmp_path / "gate.json"
    decision.write(path)
    assert read_decision(path) == decision
    assert {check["verdict"] for check in json.loads(path.read_text())["checks"]} == {"passed"}
    path.write_text(path.read_text()[:-20])
    assert read_decision(path) is None


def test_a_decision_holds_while_the_models_are_published_one_by_one() -> None:
    new, live = {"retrieval": "b", "ranking": "d", "settings": "s"}, {"retrieval": "a", "ranking": "c"}
    decision = Decision(inputs=new, live=live, queries=8, checks=())
    assert decision.still_holds(new, live)
    assert decision.still_holds(new, {"retrieval": "b", "ranking": "c"})
    assert not decision.still_holds(new, {"retrieval": "x", "ranking": "c"})
    assert not decision.still_holds({**new, "settings": "t"}, live)


@pytest.mark.parametrize(("field", "value"), [("confidence", 1.0), ("cutoff", 0), ("queries", 1)])
def test_settings_are_checked(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"gate.{field} = {value}"):
        GateConfig(**{field: value})
