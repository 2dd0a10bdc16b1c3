"""A replay goes on after the nights that are done, and sets the weeks of both policies side by side."""

import json
from pathlib import Path

import pandas as pd
from month_of_retraining import BAD_NIGHTS, WEEK, Night, Replay, nights_of, weeks


def test_bad_nights_come_before_good_ones_of_one_policy() -> None:
    nights = list(nights_of("scratch", 12))
    assert [night.week for night in nights if night.bad is None] == list(range(12))
    assert [night.bad for night in nights if night.bad] == list(BAD_NIGHTS)
    before = {night.week: place for place, night in enumerate(nights) if night.bad}
    assert all(nights[place + 1] == Night("scratch", week) for week, place in before.items())
    assert all(night.bad is None for night in nights_of("warm", 12))


def test_nights_that_are_done_are_known_to_the_next_call(tmp_path: Path) -> None:
    events = pd.DataFrame({"user_id": ["u"] * 3, "item_id": ["i"] * 3, "timestamp": [0, WEEK, 2 * WEEK]})
    (tmp_path / "tables" / "interactions" / "month=1").mkdir(parents=True)
    events.to_parquet(tmp_path / "tables" / "interactions" / "month=1" / "part.parquet")
    for name in ("items", "users"):
        pd.DataFrame({"id": ["x"]}).to_parquet(tmp_path / "tables" / f"{name}.parquet")
    (tmp_path / "month").mkdir()
    done = {"policy": "warm", "week": 1, "night": "good", "seconds": 61.0}
    (tmp_path / "month" / "nights.jsonl").write_text(json.dumps(done) + "\n")
    replay = Replay(tmp_path / "tables", tmp_path / "month", weeks=3)
    assert replay.known(Night("warm", 1)) == done
    assert replay.known(Night("scratch", 1)) is None
    assert replay.longest == 61.0


def test_weeks_that_are_not_replayed_have_empty_cells() -> None:
    test = {"difference": {"value": 0.01, "low": -0.02, "high": 0.04}}
    good = {"policy": "scratch", "night": "good", "seconds": 60.4}
    rows = [
        {**good, "week": 0, "beside_first": {}},
        {**good, "week": 1, "beside_first": {"first": 0.1, "second": 0.11, "test": test}},
        {**good, "week": 1, "night": "every row twice", "beside_first": {}},
    ]
    assert list(weeks(rows, 2)) == [
        "| 1 |  |  |  |  |  | 60 |  |",
        "| 2 | 0.1000 | 0.1100 | +0.0100 [-0.0200, +0.0400] |  |  | 60 |  |",
    ]
