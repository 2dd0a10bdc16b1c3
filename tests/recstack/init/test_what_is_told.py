"""What `init` tells of tables that it reads, and that would otherwise come out wrong without a word."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.recstack.init.tables import NUM_USERS, counts, items, log, refusal, stack_of, written


def notices(folder: Path, capsys: pytest.CaptureFixture[str], table: pd.DataFrame) -> str:
    stack_of(folder, "--interactions", written(table, folder / "log.csv"))
    return capsys.readouterr().err


@pytest.mark.parametrize("name", ["quantity", "Qty", "amount", "Menge"])
def test_events_of_negative_quantity_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    quantity = np.where(log().index % 7, 2, -1)
    told = notices(tmp_path, capsys, log().assign(**{name: quantity}))
    assert f"{name}: {int((quantity < 0).sum())} events are negative" in told
    assert "are negative" not in notices(tmp_path, capsys, log().assign(**{name: abs(quantity)}))


@pytest.mark.slow
@pytest.mark.parametrize("clock", ["%H:%M", "%H:%M:%S", "%I:%M %p"])
@pytest.mark.parametrize("day", ["%Y-%m-%d", "%d.%m.%Y"])
def test_a_time_of_day_in_a_column_of_its_own_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], day: str, clock: str
) -> None:
    moments = pd.to_datetime(log().timestamp, unit="s")
    table = log().drop(columns="timestamp").assign(date=moments.dt.strftime(day), time=moments.dt.strftime(clock))
    assert "table['date'] + ' ' + table['time']" in notices(tmp_path, capsys, table)
    joined = table.assign(date=table.date + " " + table.time).drop(columns="time")
    assert "time of day" not in notices(tmp_path, capsys, joined)


@pytest.mark.parametrize("words", [("bad", "good", "great"), ("never", "again")])
def test_a_rating_in_words_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    table = log().assign(rating=[words[n % len(words)] for n in range(len(log()))])
    assert "rating is named like a rating and holds words" in notices(tmp_path, capsys, table)


@pytest.mark.parametrize("lone", [99, -99])
def test_ratings_of_any_fineness_are_ratings_but_for_a_lone_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lone: int
) -> None:
    rng = np.random.default_rng(0)
    ratings = np.where(rng.random(len(log())) < 0.2, lone, rng.uniform(-10, 10, len(log())).round(3))
    told = notices(tmp_path, capsys, log().assign(rating=ratings))
    stack = stack_of(tmp_path, "--interactions", str(tmp_path / "log.csv"))
    assert stack.pipeline.label.rating_column == "rating"
    assert -10 < stack.pipeline.label.threshold < 10
    assert (f"{int((ratings == lone).sum())} are {lone}" in told) == (lone > 0)


def test_an_average_of_the_item_is_no_rating(tmp_path: Path) -> None:
    table = log().assign(average_rating=log().item_id / 7)
    stack = stack_of(tmp_path, "--interactions", written(table, tmp_path / "log.csv"))
    assert not stack.pipeline.label.rating_column


@pytest.mark.slow
@pytest.mark.parametrize("spell", [lambda t: f"{t:.9e}", lambda t: f"{t:.9E}", lambda t: f"{t}.0"])
def test_times_as_floats_are_prepared_as_init_reads_them(tmp_path: Path, spell: Callable[[int], str]) -> None:
    table = log().assign(timestamp=log().timestamp.map(spell))
    stack = stack_of(tmp_path, "--interactions", written(table, tmp_path / "log.csv"))
    found = counts(stack, tmp_path)
    assert found["interactions_read"] == len(table)
    assert [key for key in found if key.startswith("rejected")] == []


@pytest.mark.slow
def test_ids_that_are_decimal_numbers_are_ids_and_shortened_ones_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exact = log().assign(user_id=[f"{1_234_567_890 + u}.{1_600_000_000 + u}" for u in log().user_id])
    stack = stack_of(tmp_path, "--interactions", written(exact, tmp_path / "log.csv"))
    assert counts(stack, tmp_path)["users_test"] > 0
    short = log().assign(item_id=[f"{9_780_000_000_000 + i * 10**9:.3E}" for i in log().item_id])
    error = refusal(capsys, tmp_path, "--interactions", written(short, tmp_path / "short.csv"))
    assert "what spreadsheets leave of long numbers" in error
    mixed = log().assign(item_id=[f"A{i}" if i % 9 else "9.78E+12" for i in log().item_id])
    path = written(mixed, tmp_path / "mixed.csv")
    assert "what spreadsheets leave" in refusal(capsys, tmp_path, "--interactions", path)
    stack_of(tmp_path, "--interactions", path, "--item-id", "item_id")
    assert "ids are written like '9.78E+12'" in capsys.readouterr().err
    paths = [written(log(), tmp_path / "log.csv")]
    paths.append(
        written(items().assign(item_id=[f"{9.78e12 + i:.2E}" for i in items().item_id]), tmp_path / "items.csv")
    )
    error = refusal(capsys, tmp_path, "--interactions", paths[0], "--items", paths[1])
    assert "'item_id' holds '9.78E+12'" in error


@pytest.mark.parametrize("join", [" ".join, ",".join, lambda ids: f"[{', '.join(ids)}]"])
def test_lists_of_items_a_row_are_named_with_a_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], join: Callable[[list[str]], str]
) -> None:
    rows = log().groupby("user_id").item_id.apply(lambda ids: join(list(map(str, ids)))).reset_index()
    error = refusal(capsys, tmp_path, "--interactions", written(rows, tmp_path / "log.csv"))
    assert "'item_id' lists several items a row" in error
    assert "explode('item_id')" in error


def test_a_matrix_of_users_by_items_is_named_with_a_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grades = pd.DataFrame(np.random.default_rng(0).integers(0, 6, (NUM_USERS, 30))).add_prefix("film ")
    table = grades.assign(name=[f"u{n}" for n in range(NUM_USERS)])
    error = refusal(capsys, tmp_path, "--interactions", written(table, tmp_path / "log.csv"))
    assert "table.melt(id_vars='name'" in error


@pytest.mark.slow
@pytest.mark.parametrize("session", ["session_id", "SessionId", "visit"])
def test_sessions_may_take_the_place_of_users(tmp_path: Path, capsys: pytest.CaptureFixture[str], session: str) -> None:
    path = written(log().rename(columns={"user_id": session}), tmp_path / "log.csv")
    assert f"'--user-id {session}'" in refusal(capsys, tmp_path, "--interactions", path)
    stack = stack_of(tmp_path, "--interactions", path, "--user-id", session)
    assert counts(stack, tmp_path)["users_test"] > 0


def test_a_name_that_two_columns_have_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = log().assign(again=log().user_id).to_csv(index=False).replace("again", "user_id", 1)
    (tmp_path / "log.csv").write_text(text)
    assert "2 columns named 'user_id'" in refusal(capsys, tmp_path, "--interactions", str(tmp_path / "log.csv"))
