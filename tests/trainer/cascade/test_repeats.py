"""Features of the times of a history's events against their definitions."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.cascade.explanation import explain_list
from trainer.cascade.features import CandidateFeatures, Query, timed_history_of
from trainer.cascade.model import ListRanker
from trainer.cascade.repeats import REPEATS, of_repeats
from trainer.cascade.similarities import SameItem
from trainer.config.cascade import ListRankerConfig

DAY = 86_400
NOW = 1_000 * DAY
# Baskets 60, 40, 20 and 10 days ago: item 5 in the first three (twice in the second), item 7 in the last two.
ITEMS = [5, 8, 5, 5, 5, 7, 7]
DAYS_AGO = [60, 60, 40, 40, 20, 20, 10]


def query_of(items: list[int], days_ago: list[int | None], candidates: list[int], asked_at: int = NOW) -> Query:
    times = [0 if days is None else NOW - days * DAY for days in days_ago]
    return Query(
        history=tf.constant([items], tf.int32),
        candidates=tf.constant([candidates], tf.int32),
        scores=tf.zeros([1, len(candidates)]),
        history_times=tf.constant([times], tf.int64),
        asked_at=tf.constant([asked_at], tf.int64),
    )


def features_of(query: Query) -> list[dict[str, float]]:
    """By name, of each candidate."""
    values = of_repeats(timed_history_of(query), query.candidates).numpy()[0]
    return [dict(zip(REPEATS, row.tolist(), strict=True)) for row in values]


def test_of_items_in_several_baskets_in_one_and_in_none() -> None:
    often, twice, once, never = features_of(query_of(ITEMS, DAYS_AGO, [5, 7, 8, 9]))
    due = np.log((20 + 0.5) / (20 + 0.5))  # every 20 days, and 20 days are over
    assert often == pytest.approx(
        {
            "taken_lately": np.log(1001) - np.log(21),
            "is_repeated": 1.0,
            "repeat_due": due,
            "repeat_off": abs(due),
            "baskets_since": np.log(2),
            "basket_share": 3 / 4,
        },
        abs=1e-5,
    )
    assert twice["repeat_due"] == pytest.approx(np.log(10.5 / 10.5), abs=1e-5)
    assert twice["baskets_since"] == 0.0
    assert twice["basket_share"] == pytest.approx(1.0)
    assert once == pytest.approx(
        {
            "taken_lately": np.log(1001) - np.log(61),
            "is_repeated": 0.0,
            "repeat_due": 0.0,
            "repeat_off": 0.0,
            "baskets_since": np.log(4),
            "basket_share": 1 / 4,
        },
        abs=1e-5,
    )
    assert never == pytest.approx(dict.fromkeys(REPEATS, 0.0) | {"baskets_since": np.log(5)}, abs=1e-5)


def test_too_early_and_too_late_have_opposite_signs_and_bounds() -> None:
    early, late = (features_of(query_of([5, 5], [days + 30, days], [5]))[0] for days in (3, 365))
    assert early["repeat_due"] == pytest.approx(np.log(3.5 / 30.5), abs=1e-5)
    assert late["repeat_due"] == pytest.approx(np.log(365.5 / 30.5), abs=1e-5)
    assert early["repeat_off"] == -early["repeat_due"]
    assert features_of(query_of([5, 5], [900, 899], [5]))[0]["repeat_due"] == 3.0


def test_without_the_time_of_the_request_the_newest_event_stands_for_it() -> None:
    at_newest = features_of(query_of(ITEMS, [days - 10 for days in DAYS_AGO], [5, 7, 8, 9]))
    unknown = features_of(query_of(ITEMS, DAYS_AGO, [5, 7, 8, 9], asked_at=0))
    for one, other in zip(at_newest, unknown, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


@pytest.mark.parametrize(
    ("items", "days_ago"),
    [
        ([*ITEMS, -1, -1], [*DAYS_AGO, None, None]),
        ([-1, *ITEMS], [70, *DAYS_AGO]),
        ([5, 8, -1, 5, 5, 5, -1, 7, 7], [60, 60, 55, 40, 40, 20, 20, 20, 10]),
        ([9, *ITEMS], [None, *DAYS_AGO]),
    ],
)
def test_padding_unknown_items_and_unknown_times_change_nothing(items: list[int], days_ago: list[int | None]) -> None:
    plain = features_of(query_of(ITEMS, DAYS_AGO, [5, 7, 8, 9]))
    for one, other in zip(plain, features_of(query_of(items, days_ago, [5, 7, 8, 9])), strict=True):
        assert one == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize(("items", "days_ago"), [([], []), ([-1], [None]), ([5, 5], [None, None])])
def test_a_history_without_times_says_nothing(items: list[int], days_ago: list[int | None]) -> None:
    for values in features_of(query_of(items, days_ago, [5, -1])):
        assert values == dict.fromkeys(REPEATS, 0.0)


def test_a_query_without_times_has_the_features_of_unknown_ones() -> None:
    features = CandidateFeatures({"same": SameItem()}, {"count": np.arange(10, dtype=np.float32)}, with_times=True)
    unknown = query_of(ITEMS, [None] * len(ITEMS), [5, 7], asked_at=0)
    none = Query(history=unknown.history, candidates=unknown.candidates, scores=unknown.scores)
    np.testing.assert_array_equal(features(unknown), features(none))


def test_contributions_of_times_go_to_the_entries_that_hold_the_candidate() -> None:
    features = CandidateFeatures({"same": SameItem()}, {"count": np.arange(10, dtype=np.float32)}, with_times=True)
    ranker = ListRanker(ListRankerConfig(members=1, hidden=()), len(features.names), seed=0)
    weights = np.zeros((2 * len(features.names), 1), np.float32)
    weights[features.names.index("taken_lately")] = 1.0
    (member,) = ranker.members
    member.deep.kernel.assign(tf.zeros_like(member.deep.kernel))
    member.wide.kernel.assign(weights)
    query = query_of(ITEMS, DAYS_AGO, [5, 9])
    found = explain_list(ranker, features, query, tf.constant([[0, 1]]))
    expected = (np.log(1001) - np.log(21)) / 2  # above the mean of both candidates
    np.testing.assert_allclose(found.history[0, 0], np.array([1, 0, 1, 0, 1, 0, 0]) * expected / 3, atol=1e-4)
    np.testing.assert_allclose(found.history[0, 1], np.zeros(7), atol=1e-6)
