"""Sizes of the models by what a log offers."""

from dataclasses import replace

import numpy as np
import pytest

from recstack.init.choose_settings import choose_models
from recstack.init.log import Log
from recstack.init.proposal import Setting
from recstack.init.training_time import EncoderSize, Work, machine_speed

SPEED = 4e10


def log_of(num_users: int, events_a_user: int, num_items: int = 3_000) -> Log:
    users = np.repeat(np.arange(num_users), events_a_user)
    places = np.arange(len(users))
    seconds = np.tile(np.arange(events_a_user), num_users) * 86_400
    return Log(users=users, items=places % num_items, seconds=seconds, rows=places, is_order=False, share=1.0)


def proposed(log: Log, examples: str = "sequence", speed: float = SPEED) -> dict[str, Setting]:
    settings = choose_models(log, examples, "", labelled=5 * log.total, speed=speed)
    return {setting.path: setting for setting in settings}


def test_long_histories_of_many_events_get_a_deeper_and_wider_encoder() -> None:
    settings = proposed(log_of(4_000, 100))
    assert settings["retrieval.dimension"].value == 128
    assert settings["retrieval.encoder.layers"].value == 2
    assert settings["retrieval.encoder.heads"].value == 2
    assert settings["retrieval.epochs"].value == 14


@pytest.mark.parametrize(("num_users", "events_a_user", "dimension"), [(40_000, 9, 64), (1_000, 100, 128)])
def test_short_histories_and_small_logs_keep_one_layer(num_users: int, events_a_user: int, dimension: int) -> None:
    settings = proposed(log_of(num_users, events_a_user))
    assert settings["retrieval.dimension"].value == dimension
    assert "retrieval.encoder.layers" not in settings
    assert settings["retrieval.epochs"].value == 12
    assert proposed(log_of(num_users, events_a_user, num_items=400))["retrieval.dimension"].value == 32


def baskets_of(num_users: int, baskets_a_user: int) -> Log:
    """Ten items at each moment; the same ten each time."""
    log = log_of(num_users, 10 * baskets_a_user)
    return replace(log, items=log.rows % 10, seconds=log.seconds // 864_000 * 864_000)


@pytest.mark.parametrize(("num_users", "epochs"), [(100, 12), (750, 10), (3_000, 2), (6_000, 2)])
def test_more_baskets_need_fewer_passes(num_users: int, epochs: int) -> None:
    assert proposed(baskets_of(num_users, 10), "basket")["retrieval.epochs"].value == epochs


def test_baskets_repeat_more_than_single_events() -> None:
    log = baskets_of(100, 10)
    assert proposed(log, "basket")["retrieval.repeat"].value > proposed(log, "event")["retrieval.repeat"].value


def test_the_expected_time_grows_with_the_log() -> None:
    def minutes(log: Log) -> int:
        words = proposed(log)["retrieval.epochs"].why.split("about ")[1]
        return int(words.partition(" minutes")[0])

    # 14 epochs of 400,000 events with twice 24 * 128² + 4 * 100 * 128 operations forward for the encoder and
    # 2 * 128 * 3,000 for the items, three times that with the backward pass, at 4e10 a second.
    operations = 3 * 14 * 400_000 * (2 * (24 * 128**2 + 4 * 100 * 128) + 2 * 128 * 3_000)
    assert minutes(log_of(4_000, 100)) == round(operations / 4e10 / 60)
    assert minutes(log_of(6_000, 100)) == pytest.approx(1.5 * minutes(log_of(4_000, 100)), abs=2)
    assert "a minute or less" in proposed(log_of(500, 20))["retrieval.epochs"].why
    assert "minute" not in proposed(log_of(500, 20), "event")["retrieval.epochs"].why


def test_a_slower_machine_gets_fewer_epochs_and_then_a_smaller_encoder() -> None:
    log = log_of(4_000, 100)
    fast, slow, slowest = (proposed(log, speed=speed) for speed in (SPEED, SPEED / 4, SPEED / 10))
    assert fast["retrieval.epochs"].value > slow["retrieval.epochs"].value
    assert slow["retrieval.encoder.layers"].value == 2
    assert "retrieval.encoder.layers" not in slowest
    assert "on this machine" in slow["retrieval.epochs"].why


def test_what_is_proposed_takes_no_longer_than_the_budget_where_any_size_does() -> None:
    wanted = EncoderSize(layers=2, dimension=128, epochs=14)
    for divisor in (1, 2, 4, 8, 16):
        work = Work(events=400_000, length=100, items=3_000, speed=SPEED / divisor)
        size = work.affordable(wanted)
        assert work.seconds(size) <= 1_800 or (size.layers, size.dimension, size.epochs) == (1, 64, 6)
    assert Work(events=1_000, length=10, items=100, speed=SPEED).affordable(wanted) == wanted


def test_the_machine_does_some_operations_a_second() -> None:
    assert 1e8 < machine_speed() < 1e14


@pytest.mark.parametrize(
    ("num_users", "events_a_user", "dropout"), [(10_000, 9, 0.5), (1_000, 100, 0.3), (10_000, 100, 0.2)]
)
def test_longer_histories_and_larger_logs_need_less_dropout(num_users: int, events_a_user: int, dropout: float) -> None:
    assert proposed(log_of(num_users, events_a_user))["retrieval.encoder.dropout"].value == dropout


def test_a_second_encoder_is_proposed_where_all_trainings_fit_into_the_budget() -> None:
    affordable, slow, tiny = log_of(1_000, 50), log_of(4_000, 100), log_of(100, 50)
    assert proposed(affordable)["retrieval.ensemble"].active
    assert not proposed(slow)["retrieval.ensemble"].active
    assert not proposed(tiny)["retrieval.ensemble"].active
    assert not proposed(affordable, speed=SPEED / 100)["retrieval.ensemble"].active
