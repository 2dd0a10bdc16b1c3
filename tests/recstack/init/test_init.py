"""`recstack init` on the tables a user would have: it finds what they mean, and `prepare` takes what it writes."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beam_pipelines.config import TableSource
from beam_pipelines.passes.typed_columns import validate
from beam_pipelines.prepare import prepare_dataset
from beam_pipelines.sources import files
from beam_pipelines.sources.tables import raw_tables
from features.disk.layout import DatasetLayout
from features.errors import InputError
from features.spec.vector import VectorFeature
from recstack.__main__ import main
from recstack.config import StackConfig, load_config
from recstack.init.log import Log
from recstack.init.propose import propose
from recstack.init.roles import Given
from trainer.config.encoders import ENCODERS

NUM_USERS, NUM_ITEMS, EVENTS_A_USER = 60, 40, 15
_START, _DAY = 1_700_000_000, 86_400


def events() -> pd.DataFrame:
    """Every user has one event on most days of a month, all with other items than the day before."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(NUM_USERS), EVENTS_A_USER)
    items = (users * 7 + np.tile(np.arange(EVENTS_A_USER), NUM_USERS) * 3) % NUM_ITEMS
    days = np.tile(np.arange(EVENTS_A_USER) * 2, NUM_USERS)
    seconds = _START + days * _DAY + rng.integers(0, _DAY, len(users))
    return pd.DataFrame({"user_id": users, "item_id": items, "timestamp": seconds})


def write(table: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_json(path, orient="records", lines=True)
    return path


def init(folder: Path, *arguments: str, expect: int = 0) -> StackConfig | None:
    output = folder / "shop.toml"
    assert main(["init", "--output", str(output), *arguments]) == expect
    return load_config(output) if expect == 0 else None


def accepted(stack: StackConfig) -> dict[str, int]:
    """Rows of each table, after the first pass of `prepare` has refused none."""
    rows: dict[str, int] = {}
    for table in raw_tables(stack.features, stack.pipeline):
        for unit in files.units(table, files.find(table)):
            for raw in files.read(table, unit):
                good, bad = validate(table, unit.path, raw)
                assert bad.num_rows == 0, bad.to_pylist()[:3]
                rows[table.name] = rows.get(table.name, 0) + good.num_rows
    return rows


def _clock(table: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(table["timestamp"], unit="s")


def _walk() -> pd.DataFrame:
    """300 users who mostly go from an item to the next one, in a circle of 500."""
    rng = np.random.default_rng(0)
    steps = np.where(rng.random((300, EVENTS_A_USER)) < 0.7, 1, rng.integers(0, 500, (300, EVENTS_A_USER)))
    seconds = np.tile(_START + np.arange(EVENTS_A_USER) * _DAY, 300) + rng.integers(0, _DAY, steps.size)
    users = np.repeat(np.arange(300), EVENTS_A_USER)
    return pd.DataFrame({"user_id": users, "item_id": (steps.cumsum(axis=1) % 500).ravel(), "timestamp": seconds})


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    return table


def _shop(table: pd.DataFrame) -> pd.DataFrame:
    """Blanks and capitals in the names, German dates, a kind of event."""
    kinds = np.where(np.arange(len(table)) % 5 == 0, "Purchase", "product_view")
    columns = {"Customer ID": table["user_id"], "Stock Code": "A" + table["item_id"].astype(str)}
    return pd.DataFrame(columns | {"Invoice Date": _clock(table).dt.strftime("%d.%m.%Y %H:%M"), "Event Type": kinds})


def _clicks(table: pd.DataFrame) -> pd.DataFrame:
    """Milliseconds, camel case, impressions with a click or without."""
    clicked = (np.arange(len(table)) % 3 == 0).astype(int)
    columns = {"eventTime": table["timestamp"] * 1000, "visitorId": "v" + table["user_id"].astype(str)}
    return pd.DataFrame(columns | {"articleId": table["item_id"], "clicked": clicked, "device": "phone"})


def _ratings(table: pd.DataFrame) -> pd.DataFrame:
    """ISO times and half stars."""
    stars = 0.5 + (np.arange(len(table)) % 10) / 2
    columns = {"uid": table["user_id"], "asin": table["item_id"].map("B{:03}".format)}
    return pd.DataFrame(columns | {"overall": stars, "created_at": _clock(table).dt.strftime("%Y-%m-%dT%H:%M:%SZ")})


def _unnamed(table: pd.DataFrame) -> pd.DataFrame:
    """Names that tell nothing."""
    return pd.DataFrame({"c1": table["user_id"] + 5000, "c2": table["item_id"] + 100, "c3": table["timestamp"]})


@pytest.mark.parametrize(
    ("variant", "ending", "columns", "timestamp_format", "label"),
    [
        (_plain, "parquet", ("user_id", "item_id", "timestamp"), "s", ("", "")),
        (_shop, "csv", ("Customer ID", "Stock Code", "Invoice Date"), "%d.%m.%Y %H:%M", ("Event Type", "")),
        (_clicks, "jsonl", ("visitorId", "articleId", "eventTime"), "ms", ("clicked", "")),
        (_ratings, "csv", ("uid", "asin", "created_at"), "iso8601", ("", "overall")),
    ],
)
def test_prepare_takes_what_init_makes_of_a_table(
    tmp_path: Path,
    variant: Callable[[pd.DataFrame], pd.DataFrame],
    ending: str,
    columns: tuple[str, str, str],
    timestamp_format: str,
    label: tuple[str, str],
) -> None:
    path = write(variant(events()), tmp_path / f"events.{ending}")
    stack = init(tmp_path, "--interactions", str(path))
    assert stack is not None
    source = stack.pipeline.interactions
    assert tuple(map(source.column, ("user_id", "item_id", "timestamp"))) == columns
    assert source.timestamp_format == timestamp_format
    assert (stack.pipeline.label.event_type_column, stack.pipeline.label.rating_column) == label
    assert stack.pipeline.split.kind == "global_time"
    assert accepted(stack) == {"interactions": NUM_USERS * EVENTS_A_USER}


def test_the_whole_of_prepare_runs_on_it(tmp_path: Path) -> None:
    table = _shop(events())
    table["Genre"] = "g" + (events()["item_id"] % 5).astype(str)
    stack = init(tmp_path, "--interactions", str(write(table, tmp_path / "events.csv")))
    assert stack is not None
    counts = prepare_dataset(stack.features, stack.pipeline, DatasetLayout(tmp_path / "data"), seed=1).manifest.counts
    assert counts["interactions_read"] == counts["items_read"] == NUM_USERS * EVENTS_A_USER
    assert counts["interactions_rejected"] == counts["items_rejected"] == 0
    assert counts["candidates"] == NUM_ITEMS
    assert all(counts[f"users_{split}"] == NUM_USERS for split in ("train", "validation", "test"))


@pytest.mark.slow
def test_training_takes_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    init(tmp_path, "--interactions", str(write(_ratings(events()), tmp_path / "events.csv")))
    for verb in ("prepare", "train"):
        assert main([verb, "--config", "shop.toml"]) == 0


def test_kinds_of_events_get_weights_by_what_they_are_called(tmp_path: Path) -> None:
    stack = init(tmp_path, "--interactions", str(write(_shop(events()), tmp_path / "e.csv")))
    assert stack is not None
    assert stack.pipeline.label.event_weights == {"product_view": 1.0, "Purchase": 5.0}
    assert stack.features.history_event_types is not None


def test_a_history_of_one_kind_of_events_does_not_tell_kinds(tmp_path: Path) -> None:
    stack = init(tmp_path, "--interactions", str(write(_clicks(events()), tmp_path / "e.jsonl")))
    assert stack is not None
    assert stack.features.history_companions == ()
    assert 'kind = "history_times"' in (tmp_path / "shop.toml").read_text()


def test_the_encoder_goes_by_what_the_order_tells(tmp_path: Path) -> None:
    baskets = pd.concat([events(), events().assign(item_id=events()["item_id"] + 1)])
    for table, kind in ((baskets, "recency"), (_walk(), "transformer")):
        stack = init(tmp_path, "--force", "--interactions", str(write(table, tmp_path / "e.csv")))
        assert stack is not None
        assert ENCODERS.name_of(stack.retrieval.encoder) == kind


def test_large_baskets_are_one_example_each(tmp_path: Path) -> None:
    parts = [events().assign(item_id=events()["item_id"] + more) for more in range(6)]
    for table, examples in ((pd.concat(parts[:2]), "event"), (pd.concat(parts), "basket")):
        stack = init(tmp_path, "--force", "--interactions", str(write(table, tmp_path / "e.csv")))
        assert stack is not None
        assert stack.retrieval.examples == examples


def test_what_is_bought_again_is_ranked_again(tmp_path: Path) -> None:
    """Eight articles a basket, and later the same eight once more, or others."""
    users = np.repeat(np.arange(NUM_USERS), 8)
    items = (users * 7 + np.tile(np.arange(8), NUM_USERS)) % NUM_ITEMS
    first = pd.DataFrame({"user_id": users, "item_id": items, "timestamp": _START + users % 50 * _DAY})
    again = first.assign(timestamp=first["timestamp"] + 60 * _DAY)
    for second, repeat in ((again, 2.0), (again.assign(item_id=(items + 20) % NUM_ITEMS), 0.0)):
        table = pd.concat([first, second])
        stack = init(tmp_path, "--force", "--interactions", str(write(table, tmp_path / "e.csv")))
        assert stack is not None
        assert (stack.retrieval.examples, stack.retrieval.repeat) == ("basket", repeat)
        assert stack.evaluation.exclude_seen == (repeat == 0.0)
        assert (stack.features.history_times is not None) == (repeat > 0.0)


def test_events_that_mostly_repeat_are_ranked_again(tmp_path: Path) -> None:
    """One article at a time, each three times in a row, or each once and then another."""
    users, number = np.repeat(np.arange(NUM_USERS), 30), np.tile(np.arange(30), NUM_USERS)
    for items, is_again in ((number // 3, True), (number, False)):
        times = _START + number * _DAY + users % 50
        table = pd.DataFrame({"user_id": users, "item_id": (users * 7 + items) % NUM_ITEMS, "timestamp": times})
        stack = init(tmp_path, "--force", "--interactions", str(write(table, tmp_path / "e.csv")))
        assert stack is not None
        assert stack.retrieval.examples != "basket"
        assert stack.evaluation.exclude_seen == (not is_again)
        assert (stack.features.history_times is not None) == is_again


def test_events_of_one_moment_are_not_taken_again() -> None:
    log = Log(
        users=np.array([0, 0, 0, 0, 1, 1]),
        items=np.array([5, 5, 7, 5, 5, 7]),
        seconds=np.array([1, 1, 2, 3, 1, 9]),
        rows=np.arange(6),
        is_order=False,
        share=1.0,
    )
    assert log.taken_again == pytest.approx(1 / 6)


def test_what_was_shown_in_vain_is_not_taken() -> None:
    users, items = np.array([0, 0, 0, 0, 1, 2]), np.array([5, 5, 7, 5, 5, 7])
    seconds, rows = np.array([1, 1, 2, 3, 1, 9]), np.arange(6)
    log = Log(users=users, items=items, seconds=seconds, rows=rows, is_order=False, share=1.0)
    taken = replace(log, unwanted=np.array([0, 1, 1, 0, 1, 0], bool)).taken
    assert (taken.users.tolist(), taken.items.tolist(), taken.rows.tolist()) == ([0, 0, 1], [5, 5, 7], [0, 3, 5])
    assert taken.taken_again == pytest.approx(1 / 3)
    assert (log.events_a_moment, taken.events_a_moment) == (6 / 5, 1.0)
    nothing = replace(log, unwanted=np.ones(6, bool))
    assert nothing.taken is nothing


def test_names_that_tell_nothing_are_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(_unnamed(events()), tmp_path / "events.parquet"))
    init(tmp_path, "--interactions", path, expect=2)
    assert "the user could be 'c1' (5000, 5001, 5002) or 'c2' (100, 103, 106)" in capsys.readouterr().err
    stack = init(tmp_path, "--interactions", path, "--user-id", "c1", "--item-id", "c2")
    assert stack is not None
    assert tuple(map(stack.pipeline.interactions.column, ("user_id", "item_id", "timestamp"))) == ("c1", "c2", "c3")
    assert accepted(stack) == {"interactions": NUM_USERS * EVENTS_A_USER}


@pytest.mark.parametrize(
    ("values", "column"),
    [
        (("view", "add_to_cart", "purchase"), "step"),  # nothing but its values says what the column is
        (("view", "mystery"), ""),  # half of the values is not most of them
        (("ios", "android", "desktop"), ""),
    ],
)
def test_kinds_of_events_are_found_by_their_values(tmp_path: Path, values: tuple[str, ...], column: str) -> None:
    table = events()
    table["step"] = [values[n % len(values)] for n in range(len(table))]
    stack = init(tmp_path, "--interactions", str(write(table, tmp_path / "log.csv")))
    assert stack is not None
    assert stack.pipeline.label.event_type_column == column
    if column:
        assert stack.pipeline.label.event_weights == {"view": 1.0, "add_to_cart": 3.0, "purchase": 5.0}


def test_a_threshold_parts_liked_from_disliked(tmp_path: Path) -> None:
    stack = init(tmp_path, "--interactions", str(write(_ratings(events()), tmp_path / "e.csv")))
    assert stack is not None
    # Ten ratings equally often: 2.5 and above are six of ten.
    assert stack.pipeline.label.threshold == 2.5


def test_tables_of_items_and_users_become_features(tmp_path: Path) -> None:
    items = pd.DataFrame(
        {
            "sku": range(NUM_ITEMS),
            "title": [f"the number {n} of a shelf {n * 13}" for n in range(NUM_ITEMS)],
            "brand": [f"brand{n % 4}" for n in range(NUM_ITEMS)],
            "tags": ["|".join(f"t{n % k}" for k in (2, 3)) for n in range(NUM_ITEMS)],
            "price": [1.5 * n for n in range(NUM_ITEMS)],
            "constant": ["same"] * NUM_ITEMS,
            "history": [n % 3 for n in range(NUM_ITEMS)],
        }
    )
    users = pd.DataFrame({"user": range(NUM_USERS), "country": [f"c{n % 3}" for n in range(NUM_USERS)]})
    paths = {
        "--interactions": write(events(), tmp_path / "events.csv"),
        "--items": write(items, tmp_path / "items.parquet"),
        "--users": write(users, tmp_path / "users.jsonl"),
    }
    stack = init(tmp_path, *(str(word) for pair in paths.items() for word in pair))
    assert stack is not None
    candidate = {feature.name: feature.kind for feature in stack.features.candidate}
    assert candidate == {
        "item_id": "id",
        "title": "text",
        "brand": "categorical",
        "tags": "multi_valued",
        "price": "numeric",
        "item_history": "categorical",
    }
    assert stack.pipeline.items.column("item_id") == "sku"
    assert stack.pipeline.items.column("item_history") == "history"
    query = {feature.name: feature for feature in stack.features.query}
    assert query["country"].kind == "categorical"
    assert stack.pipeline.users.column("user_id") == "user"
    assert accepted(stack) == {"interactions": NUM_USERS * EVENTS_A_USER, "items": NUM_ITEMS, "users": NUM_USERS}


def test_lists_of_as_many_numbers_are_vectors(tmp_path: Path) -> None:
    log = write(events(), tmp_path / "log.parquet")
    vectors = [np.full(4, n / NUM_ITEMS) for n in range(NUM_ITEMS)]
    items = write(pd.DataFrame({"item_id": range(NUM_ITEMS), "cover": vectors}), tmp_path / "items.parquet")
    tastes = [[0.5, n + 0.5] if n else [] for n in range(NUM_USERS)]
    users = write(pd.DataFrame({"user_id": range(NUM_USERS), "taste": tastes}), tmp_path / "users.parquet")
    stack = init(tmp_path, "--interactions", str(log), "--items", str(items), "--users", str(users))
    assert VectorFeature(name="cover", length=4) in stack.features.candidate
    assert VectorFeature(name="taste", length=2) in stack.features.query
    assert accepted(stack) == {"interactions": len(events()), "items": NUM_ITEMS, "users": NUM_USERS}


def test_what_follows_from_the_item_describes_the_item(tmp_path: Path) -> None:
    table = events()
    table["genre"] = "g" + (table["item_id"] % 5).astype(str)
    table["price_paid"] = np.arange(len(table)) * 0.01
    stack = init(tmp_path, "--interactions", str(write(table, tmp_path / "events.parquet")))
    assert stack is not None
    assert {feature.name for feature in stack.features.candidate} == {"item_id", "genre"}
    assert {feature.name for feature in stack.features.query} == {"user_id", "history"}
    assert accepted(stack)["items"] == NUM_USERS * EVENTS_A_USER


def test_what_is_written_as_a_comment_can_be_uncommented(tmp_path: Path) -> None:
    table = events()
    table["price_paid"] = np.arange(len(table)) % 97 * 0.5
    init(tmp_path, "--interactions", str(write(table, tmp_path / "events.parquet")))
    text = (tmp_path / "shop.toml").read_text()
    block = '# [[features.query]]\n# kind = "numeric"\n# name = "price_paid"\n'
    assert block in text
    (tmp_path / "shop.toml").write_text(text.replace(block, block.replace("# ", "")))
    assert "price_paid" in {feature.name for feature in load_config(tmp_path / "shop.toml").features.query}


def test_each_setting_has_its_reason_above_it(tmp_path: Path) -> None:
    init(tmp_path, "--interactions", str(write(_clicks(events()), tmp_path / "events.jsonl")))
    lines = (tmp_path / "shop.toml").read_text().splitlines()
    for above, line in itertools.pairwise(lines):
        if "=" in line and not line.startswith("#"):
            assert above.startswith("#") or "=" in above, line


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(events(), tmp_path / "events.csv"))
    (tmp_path / "shop.toml").write_text("mine")
    init(tmp_path, "--interactions", path, expect=2)
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "shop.toml").read_text() == "mine"
    assert init(tmp_path, "--interactions", path, "--force") is not None


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (events().drop(columns="timestamp"), ["no column could be the time", "'user_id', 'item_id'", "--timestamp"]),
        (events().drop(columns="user_id"), ["no column could be the user", "--user-id"]),
        (events().assign(user_id=None), ["no column could be the user", "--user-id"]),
    ],
)
def test_a_role_that_nothing_fills_is_told_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: pd.DataFrame, words: list[str]
) -> None:
    init(tmp_path, "--interactions", str(write(table, tmp_path / "events.csv")), expect=2)
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert not (tmp_path / "shop.toml").exists()


def test_given_columns_are_taken(tmp_path: Path) -> None:
    table = events().rename(columns={"user_id": "household_size", "item_id": "x"})
    path = str(write(table, tmp_path / "events.csv"))
    stack = init(tmp_path, "--interactions", path, "--user-id", "household_size", "--item-id", "x")
    assert stack is not None
    assert stack.pipeline.interactions.column("user_id") == "household_size"


def test_json_says_what_was_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(tmp_path, "--json", "--interactions", str(write(events(), tmp_path / "events.csv")))
    result = json.loads(capsys.readouterr().out)
    assert result["pipeline.split.kind"] == "global_time"


def test_a_missing_table_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv"):
        propose({"interactions": TableSource(path=str(tmp_path / "none.csv"))}, Given(), workdir="w")
