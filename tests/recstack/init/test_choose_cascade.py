"""The second stage is proposed by what a log offers."""

from typing import Any

import numpy as np
import pytest

from features.serialization import structure
from recstack.init.choose_cascade import choose_cascade, folds_of
from recstack.init.choose_settings import choose_split
from recstack.init.log import Log
from recstack.init.proposal import Setting
from trainer.config.cascade import ListRankerConfig

_DAY = 86_400


def log_of(num_users: int, events_a_user: int = 12, num_items: int = 900, **changes: Any) -> Log:
    """Users that come one after the other, each with an event a day."""
    users = np.repeat(np.arange(num_users), events_a_user)
    seconds = (np.tile(np.arange(events_a_user), num_users) + users * events_a_user) * _DAY
    items = np.arange(len(users)) % num_items
    events = {"users": users, "items": items, "seconds": seconds, "rows": np.arange(len(users))}
    return Log(**(events | {"is_order": False, "share": 1.0} | changes))


def proposed(log: Log) -> dict[str, Setting]:
    return {setting.name: setting for setting in choose_cascade(log, choose_split(log))}


def test_enough_users_are_given_a_second_stage_whose_folds_are_cut_as_the_dataset_is() -> None:
    log = log_of(160, events_a_user=40)
    settings = proposed(log)
    assert all(setting.active for setting in settings.values())
    split = {setting.name: setting.value for setting in choose_split(log)}
    assert split["kind"] == "per_user_fraction"
    config = structure({name: setting.value for name, setting in settings.items()}, ListRankerConfig)
    assert (config.enabled, config.fold_kind, config.gap, config.window) == (
        True,
        split["kind"],
        split["validation"],
        split["test"],
    )
    assert config.history == 40
    assert "served if its gain on validation is certain" in settings["enabled"].why


@pytest.mark.parametrize(("num_users", "folds"), [(9_999, 2), (10_000, 1)])
def test_one_fold_is_enough_where_it_has_as_many_lists_as_the_ranker_learns_from(num_users: int, folds: int) -> None:
    log = log_of(num_users, events_a_user=4)
    settings = proposed(log)
    assert folds_of(log) == folds
    assert ("folds" in settings) == (folds == 1)
    assert f"trained {folds} more times" in settings["enabled"].why


def test_a_leave_last_out_split_has_folds_of_its_own_kind() -> None:
    assert proposed(log_of(160))["fold_kind"].value == "leave_last_out"
    assert "window" not in proposed(log_of(160))


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (log_of(140), "only 140 users have 4 events or more"),
        (log_of(400, events_a_user=3), "only 0 users"),
        (log_of(400, seconds=np.zeros(400 * 12, np.int64)), "no later events are held out"),
        (log_of(9_000, num_items=101_000), "more than 100,000 items"),
    ],
)
def test_a_log_that_cannot_teach_it_gets_a_comment_with_the_reason(log: Log, reason: str) -> None:
    (setting,) = proposed(log).values()
    assert not setting.active
    assert reason in setting.why


def test_a_sampled_log_counts_the_users_of_the_whole_table() -> None:
    assert not proposed(log_of(140))["enabled"].active
    assert proposed(log_of(140, share=0.5))["enabled"].active


def test_lists_and_tables_fit_the_catalogue() -> None:
    assert proposed(log_of(200, num_items=80))["candidates"].value == 40
    assert "candidates" not in proposed(log_of(200, num_items=700))
    large = proposed(log_of(5_000, num_items=50_000))["neighbours"].value
    assert large == 500e6 // (6 * 8 * 50_000)
    assert "neighbours" not in proposed(log_of(200, num_items=700))


def test_counts_are_refreshed_each_night_where_events_have_times() -> None:
    assert proposed(log_of(160))["refresh_days"].value == 1.0
    assert "refresh_days" not in proposed(log_of(160, is_order=True))
