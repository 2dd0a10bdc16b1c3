"""Sizes of the models by what a log offers."""

import numpy as np
import pytest

from recstack.init.choose_settings import choose_models
from recstack.init.log import Log
from recstack.init.proposal import Setting


def log_of(num_users: int, events_a_user: int, num_items: int = 3_000) -> Log:
    users = np.repeat(np.arange(num_users), events_a_user)
    places = np.arange(len(users))
    seconds = np.tile(np.arange(events_a_user), num_users) * 86_400
    return Log(users=users, items=places % num_items, seconds=seconds, rows=places, is_order=False, share=1.0)


def proposed(log: Log, examples: str = "sequence") -> dict[str, Setting]:
    return {setting.path: setting for setting in choose_models(log, examples, "", has_negatives=False)}


def test_long_histories_of_many_events_get_a_deeper_and_wider_encoder() -> None:
    settings = proposed(log_of(4_000, 100))
    assert settings["retrieval.dimension"].value == 128
    assert settings["retrieval.encoder.layers"].value == 2
    assert settings["retrieval.encoder.heads"].value == 2
    assert settings["retrieval.epochs"].value == 14


@pytest.mark.parametrize(("num_users", "events_a_user"), [(40_000, 9), (1_000, 100)])
def test_short_histories_and_small_logs_keep_one_layer(num_users: int, events_a_user: int) -> None:
    settings = proposed(log_of(num_users, events_a_user))
    assert settings["retrieval.dimension"].value == 64
    assert "retrieval.encoder.layers" not in settings
    assert settings["retrieval.epochs"].value == 12


def test_the_expected_time_grows_with_the_log() -> None:
    def minutes(log: Log) -> int:
        words = proposed(log)["retrieval.epochs"].why.split("about ")[1]
        return int(words.partition(" minutes")[0])

    # 14 epochs of 400,000 events with twice 24 * 128² + 4 * 100 * 128 operations forward for the encoder and
    # 2 * 128 * 3,000 for the items, three times that with the backward pass, at 4e10 a second.
    operations = 3 * 14 * 400_000 * (2 * (24 * 128**2 + 4 * 100 * 128) + 2 * 128 * 3_000)
    assert minutes(log_of(4_000, 100)) == round(operations / 4e10 / 60)
    assert minutes(log_of(8_000, 100)) == pytest.approx(2 * minutes(log_of(4_000, 100)), abs=2)
    assert "a minute or less" in proposed(log_of(500, 20))["retrieval.epochs"].why
    assert "minute" not in proposed(log_of(500, 20), "event")["retrieval.epochs"].why
