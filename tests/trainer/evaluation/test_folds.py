"""Folds are pooled by query, intervals by user, and the test over folds is the textbook's."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from trainer.config.evaluation import EvaluationConfig
from trainer.evaluation.folds import JudgedFold, pool, read_judged, write_judged
from trainer.metrics.protocol import EvaluationSet, Ragged
from trainer.metrics.results import Evaluation, evaluate_rankings

CONFIG = EvaluationConfig(cutoffs=(1,), resamples=200)
POPULARITY = np.array([3, 2, 1])


def evaluation(model: str, hits: list[int]) -> Evaluation:
    """Queries whose only target is item 0, first in the lists of those that hit."""
    number = len(hits)
    none = Ragged.from_lengths(np.zeros(number, np.int64), np.empty(0, np.int64))
    queries = EvaluationSet(
        user_rows=np.arange(number),
        history=none,
        history_timestamps=np.empty(0, np.int64),
        seen=none,
        targets=Ragged.from_lengths(np.ones(number, np.int64), np.zeros(number, np.int64)),
        num_items=3,
    )
    return evaluate_rankings(
        model, np.array([[0] if hit else [1] for hit in hits]), queries, popularity=POPULARITY, config=CONFIG
    )


def fold(model: list[int], baseline: list[int], users: tuple[str, ...]) -> JudgedFold:
    return JudgedFold.of((evaluation("two_tower", model), evaluation("popularity", baseline)), users)


def test_each_query_of_each_fold_weighs_the_same() -> None:
    found = pool([fold([1, 1, 1, 0], [1, 0, 0, 0], tuple("abcd")), fold([1, 0], [1, 1], tuple("ab"))], CONFIG)
    assert [each["num_queries"] for each in found["folds"]] == [4, 2]
    assert list(found["models"]) == list(found["folds"][0]["models"]) == ["two_tower", "popularity"]
    assert found["folds"][0]["models"]["two_tower"]["recall@1"] == 3 / 4
    assert found["models"]["two_tower"]["recall@1"]["value"] == pytest.approx(4 / 6)
    test = found["versus"]["popularity"]["recall@1"]
    assert test["difference"]["value"] == pytest.approx((2 - 1) / 6)
    assert test["folds_won"] == 1
    assert test["p_value_of_folds"] == pytest.approx(stats.ttest_rel([3 / 4, 1 / 2], [1 / 4, 1]).pvalue)


def test_queries_of_one_user_in_several_folds_are_drawn_together() -> None:
    hits = [1, 0] * 10
    users = tuple(f"u{n}" for n in range(20))
    same = pool([fold(hits, hits, users)] * 4, CONFIG)["models"]["two_tower"]["recall@1"]
    others = [fold(hits, hits, tuple(f"{user} of {n}" for user in users)) for n in range(4)]
    apart = pool(others, CONFIG)["models"]["two_tower"]["recall@1"]
    # Four times the users make an interval half as wide; four times the same ones do not.
    assert (same["high"] - same["low"]) == pytest.approx(2 * (apart["high"] - apart["low"]), rel=0.3)


def test_users_of_whom_nothing_is_known_are_others_each_time() -> None:
    hits = [1, 0] * 10
    unknown, known = (
        pool([fold(hits, hits, users)] * 4, CONFIG)["models"]["two_tower"]["recall@1"]
        for users in (("",) * 20, tuple("abcdefghijklmnopqrst"))
    )
    assert unknown["high"] - unknown["low"] < known["high"] - known["low"]


@pytest.mark.parametrize(
    ("folds", "expected"),
    [
        ([fold([1, 0], [1, 0], ("a", "b"))], None),
        ([fold([1, 0], [1, 0], ("a", "b"))] * 2, 1.0),
        ([fold([1, 1], [1, 0], ("a", "b"))] * 2, 0.0),
    ],
)
def test_folds_without_a_spread_have_a_p_value_too(folds: list[JudgedFold], expected: float | None) -> None:
    assert pool(folds, CONFIG)["versus"]["popularity"]["recall@1"]["p_value_of_folds"] == expected


def test_a_judgement_is_kept_with_what_it_was_made_from(tmp_path: Path) -> None:
    path, judged = tmp_path / "judged.npz", fold([1, 0, 1], [0, 0, 1], ("anna", "", "Zoë"))
    assert read_judged(path, {"run": "1"}) is None
    write_judged(path, judged, {"run": "1"})
    known = read_judged(path, {"run": "1"})
    assert known is not None
    assert known.users == judged.users
    assert pool([known], CONFIG) == pool([judged], CONFIG)
    assert list(known.per_query) == ["two_tower", "popularity"]
    assert read_judged(path, {"run": "2"}) is None
    path.write_bytes(path.read_bytes()[:100])
    assert read_judged(path, {"run": "1"}) is None
