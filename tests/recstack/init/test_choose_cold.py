"""What is proposed for new items, by how many of the held-out events are theirs."""

from collections.abc import Sequence

import numpy as np
import pytest

from features.spec.base import Feature
from features.spec.numeric import NumericFeature
from features.spec.text import TextFeature
from recstack.init.choose_cold import (
    choose_candidates,
    choose_for_new_items,
    popularity_of_new_items,
    share_of_new_items,
)
from recstack.init.log import Log
from recstack.init.proposal import FeatureChoice, LeftOut, Setting

TITLE, PRICE = TextFeature(name="title"), NumericFeature(name="price")


def log_of(items: Sequence[Sequence[int]]) -> Log:
    """One list of items a user, one event a day."""
    lengths = [len(of_user) for of_user in items]
    users = np.repeat(np.arange(len(items)), lengths)
    seconds = np.concatenate([np.arange(length) for length in lengths]) * 86_400
    flat = np.array([item for of_user in items for item in of_user])
    return Log(users=users, items=flat, seconds=seconds, rows=np.arange(len(flat)), is_order=False, share=1.0)


def split(kind: str) -> dict[str, object]:
    return {"kind": kind, "validation": 0.1, "test": 0.1}


def proposed(log: Log, *features: Feature, active: bool = True) -> dict[str, Setting]:
    columns = [FeatureChoice(table="items", column="c", feature=f, why="", active=active) for f in features]
    left_out = LeftOut(table="items", column="other", why="")
    settings = [
        Setting(table="pipeline.split", name=name, value=value, why="")
        for name, value in split("per_user_fraction").items()
    ]
    return {setting.name: setting for setting in choose_for_new_items(log, settings, [left_out, *columns])}


# Ten events a user; the last two are held out: item 1 is known, 100 and 101 are new.
NEW = log_of([[*range(8), 1, 100], [*range(8), 101, 1]])
KNOWN = log_of([[*range(8), 1, 2], [*range(8), 3, 1]])


@pytest.mark.parametrize("kind", ["per_user_fraction", "leave_last_out", "global_time"])
def test_the_share_is_that_of_held_out_events_of_items_without_an_earlier_one(kind: str) -> None:
    assert share_of_new_items(NEW, split(kind)) == pytest.approx(0.5)
    assert share_of_new_items(KNOWN, split(kind)) == 0.0


def test_where_new_items_come_and_have_words_their_ids_are_hidden() -> None:
    found = proposed(NEW, TITLE)
    assert found["id_dropout"].value > 0
    assert "50%" in found["id_dropout"].why


def test_new_items_stand_where_their_like_stand_if_they_are_taken_as_often() -> None:
    # Items 100 and 101 are taken once, as item 1 is twice: half as often.
    assert popularity_of_new_items(NEW, split("per_user_fraction")) == pytest.approx(0.5)
    found = proposed(NEW, TITLE)
    assert found["new_item_neighbours"].value > 0
    assert "0.5 times" in found["new_item_neighbours"].why
    assert 0 < found["new_item_cost"].value < 0.01
    # Three users take the known item, one a new one.
    rare = log_of([[*range(8), 1, 2], [*range(8), 100, 2], [*range(8), 1, 2]])
    assert popularity_of_new_items(rare, split("per_user_fraction")) == pytest.approx(1 / 2.5)
    assert "new_item_neighbours" not in proposed(rare, TITLE)
    assert popularity_of_new_items(KNOWN, split("per_user_fraction")) == 0.0


def test_without_words_there_are_no_neighbours_and_without_features_nothing_to_learn() -> None:
    assert list(proposed(NEW, PRICE)) == ["id_dropout"]
    assert not proposed(NEW)
    assert not proposed(NEW, TITLE, active=False)


def test_where_no_new_items_come_nothing_is_proposed() -> None:
    assert not proposed(KNOWN, TITLE)


def cascade(*, enabled: bool = True, refresh_days: float = 1.0) -> list[Setting]:
    values = {"enabled": (True, enabled), "refresh_days": (refresh_days, True)}
    return [
        Setting(table="list_ranking", name=name, value=value, why="", active=active)
        for name, (value, active) in values.items()
    ]


def test_a_list_ranker_that_knows_what_sold_yesterday_could_keep_candidates_for_new_items() -> None:
    popular, rare = proposed(NEW, TITLE).values(), proposed(NEW, PRICE).values()
    (kept,) = choose_candidates(popular, cascade())
    assert kept.path == "list_ranking.new_item_candidates"
    assert 0 < kept.value < 0.5
    assert not kept.active
    assert not list(choose_candidates(rare, cascade()))
    assert not list(choose_candidates(popular, cascade(enabled=False)))
    assert not list(choose_candidates(popular, cascade(refresh_days=0.0)))


def test_no_candidates_are_kept_that_leave_fewer_than_are_judged() -> None:
    """The shortest lists that are judged have ten places."""

    def kept_of(candidates: int) -> list[Setting]:
        size = Setting(table="list_ranking", name="candidates", value=candidates, why="")
        return list(choose_candidates(proposed(NEW, TITLE).values(), [*cascade(), size]))

    assert not kept_of(10)
    assert kept_of(11)
