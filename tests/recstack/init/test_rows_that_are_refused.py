"""Rows without a user, an item, a time or a rating: `init` counts them, and `prepare` goes on without them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beam_pipelines.config.source import MISSING_WORDS
from tests.recstack.init.tables import NUM_USERS, counts, log, stack_of, written

_ROWS = len(log())


def _without(column: str, share: float, words: tuple[str, ...]) -> tuple[pd.DataFrame, int]:
    """The log with words for missing values in a column, and how many of its rows have one."""
    table = log().assign(rating=np.arange(_ROWS) % 5 + 1)
    lacking = np.arange(_ROWS) % round(1 / share) == 0
    table[column] = table[column].astype(object)
    table.loc[lacking, column] = [words[n % len(words)] for n in range(lacking.sum())]
    return table, int(lacking.sum())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "words"), [("user_id", ("NULL", "nan", "\\N", "None")), ("item_id", MISSING_WORDS), ("timestamp", ("",))]
)
def test_rows_without_a_role_are_counted_and_the_limit_is_raised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, words: tuple[str, ...]
) -> None:
    table, lacking = _without(column, 0.1, words)
    stack = stack_of(tmp_path, "--interactions", written(table, tmp_path / "log.csv"))
    assert f"{lacking:,} of {_ROWS:,} rows will be refused" in capsys.readouterr().err
    assert 0.1 < stack.pipeline.max_reject_ratio < 0.15
    assert counts(stack, tmp_path)["interactions_rejected"] == lacking


def test_a_few_rows_leave_the_limit_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, lacking = _without("user_id", 0.02, ("NULL",))
    stack = stack_of(tmp_path, "--interactions", written(table, tmp_path / "log.csv"))
    assert f"{lacking:,} have no user in user_id" in capsys.readouterr().err
    assert "max_reject_ratio" not in (tmp_path / "made.toml").read_text()
    assert counts(stack, tmp_path)["interactions_rejected"] == lacking


@pytest.mark.slow
@pytest.mark.parametrize(("share", "used"), [(0.02, True), (0.25, False)])
def test_ratings_that_most_events_lack_are_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], share: float, used: bool
) -> None:
    table, lacking = _without("rating", share, ("",))
    stack = stack_of(tmp_path, "--interactions", written(table, tmp_path / "log.csv"))
    assert bool(stack.pipeline.label.rating_column) == used
    assert ("the ratings are not used" in capsys.readouterr().err) != used
    assert counts(stack, tmp_path)["interactions_rejected"] == (lacking if used else 0)


def test_items_without_an_id_are_counted_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalogue = pd.DataFrame({"item_id": [*range(1, 31), *[""] * 10], "title": [f"a title {n}" for n in range(40)]})
    paths = [written(log(), tmp_path / "log.csv"), written(catalogue, tmp_path / "items.csv")]
    stack = stack_of(tmp_path, "--interactions", paths[0], "--items", paths[1])
    assert "10 have no id in item_id" in capsys.readouterr().err
    assert counts(stack, tmp_path)["items_rejected"] == 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["order_number", "basket_nr"])
def test_numbers_of_orders_are_no_weekdays_though_few(tmp_path: Path, name: str) -> None:
    """Five baskets of four items each, all numbered from 1."""
    turn = np.tile(np.repeat(np.arange(1, 6), 4), NUM_USERS)
    users = np.repeat(np.arange(1, NUM_USERS + 1), 20)
    items = (users * 7 + np.arange(len(users)) * 3) % 30 + 1
    table = pd.DataFrame({"user_id": users, "item_id": items, name: turn})
    stack = stack_of(tmp_path, "--interactions", written(table, tmp_path / "log.csv"), "--timestamp", name)
    assert stack.pipeline.interactions.implausible_times == "keep"
    assert counts(stack, tmp_path)["users_test"] == NUM_USERS
