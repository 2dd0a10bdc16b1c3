"""Facts of a log whose order is known, because it was made with it or without."""

from dataclasses import replace

import numpy as np
import pytest

from recstack.init.choose_settings import choose_split, examples_of
from recstack.init.log import Log

NUM_USERS, EVENTS_A_USER = 200, 60


def log_of_users(items: np.ndarray, seconds: np.ndarray) -> Log:
    """Items and times, `[users, events]` each."""
    users = np.repeat(np.arange(len(items)), items.shape[1])
    rows = np.arange(items.size)
    return Log(
        users=users,
        items=items.ravel().astype(np.int64),
        seconds=seconds.ravel().astype(np.int64),
        rows=rows,
        is_order=False,
        share=1.0,
    )


def sets_of_items(num_items: int) -> np.ndarray:
    """Each user's items, no item twice, in an order that says nothing."""
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(num_items)[:EVENTS_A_USER] for _ in range(NUM_USERS)])


def seconds_apart(apart: int) -> np.ndarray:
    return np.broadcast_to(np.arange(EVENTS_A_USER) * apart, (NUM_USERS, EVENTS_A_USER))


@pytest.mark.parametrize("num_items", [70, 1000])
def test_an_order_that_is_chance_has_no_lift(num_items):
    log = log_of_users(sets_of_items(num_items), seconds_apart(1))
    assert log.order_lift() == pytest.approx(1.0, abs=0.1)
    assert examples_of(log, "leave_last_out")[0] == "event"


@pytest.mark.parametrize("num_items", [70, 1000])
def test_an_order_is_seen_however_dense_the_log(num_items):
    """In a dense log nearly every pair occurs twice, near or far: how often it occurs is what tells."""
    log = log_of_users(np.sort(sets_of_items(num_items), axis=1), seconds_apart(1))
    assert log.order_lift() > 1.5
    assert examples_of(log, "leave_last_out")[0] == "sequence"


@pytest.mark.parametrize(("apart", "examples"), [(30, "sequence"), (86_400, "event")])
def test_what_is_rated_at_one_second_is_a_page_of_a_sitting_or_a_basket(apart, examples):
    """Two events share each moment, and moments are half a minute or a day apart."""
    seconds = seconds_apart(1) // 2 * apart
    log = log_of_users(np.sort(sets_of_items(200), axis=1), seconds)
    assert log.shared_moments == 1.0
    assert log.are_sittings == (examples == "sequence")
    assert examples_of(log, "leave_last_out")[0] == examples


def test_of_whole_sittings_that_are_held_out_the_next_event_is_not_what_counts():
    log = log_of_users(np.sort(sets_of_items(200), axis=1), seconds_apart(30))
    assert log.are_sittings
    assert examples_of(log, "per_user_fraction")[0] == "event"
    assert examples_of(replace(log, is_order=True), "per_user_fraction")[0] == "sequence"


@pytest.mark.parametrize(("is_order", "kind"), [(True, "leave_last_out"), (False, "per_user_fraction")])
def test_of_an_order_without_times_the_last_event_of_each_user_is_held_out(is_order, kind):
    """Users that never met: nobody of the latest tenth was there before."""
    start = np.arange(NUM_USERS)[:, None] * 1_000_000
    log = replace(log_of_users(sets_of_items(200), seconds_apart(30) + start), is_order=is_order)
    assert next(choose_split(log)).value == kind


@pytest.mark.parametrize(("apart", "examples"), [(30, "sequence"), (86_400, "basket")])
def test_large_pages_of_a_sitting_are_no_baskets_either(apart, examples):
    seconds = seconds_apart(1) // 6 * apart + np.arange(NUM_USERS)[:, None]
    log = log_of_users(np.sort(sets_of_items(200), axis=1), seconds)
    assert log.events_a_moment == pytest.approx(6.0)
    assert examples_of(log, "leave_last_out")[0] == examples


def test_numbered_orders_of_many_items_are_baskets():
    """Thirty orders of ten items, numbered by user: an order without times has no sittings."""
    seconds = np.repeat(np.arange(30), 10)[None].repeat(NUM_USERS, axis=0)
    items = np.stack([np.random.default_rng(user).permutation(500)[:300] for user in range(NUM_USERS)])
    log = replace(log_of_users(items, seconds), is_order=True)
    assert examples_of(log, "leave_last_out")[0] == "basket"


def test_an_item_twice_in_a_row_is_no_order():
    items = np.repeat(sets_of_items(1000), 2, axis=1)
    log = log_of_users(items, np.broadcast_to(np.arange(items.shape[1]), items.shape))
    assert log.order_lift() == pytest.approx(1.0, abs=0.1)


def test_a_split_by_time_that_is_asked_for_holds_out_whole_moments_where_these_are_few():
    log = log_of_users(sets_of_items(200), seconds_apart(1) // 15 * 86_400)
    shares = {setting.name: setting.value for setting in choose_split(log, "global_time")}
    assert shares == {"kind": "global_time", "validation": 0.25, "test": 0.25}
