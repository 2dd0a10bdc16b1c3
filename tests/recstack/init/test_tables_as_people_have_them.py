"""Tables as people have them: `init` reads what `prepare` reads, asks what is doubtful, and says what is odd.

Each test makes several members of a kind of table; the log itself is always the same.
"""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from beam_pipelines.config import TableSource
from recstack.config import StackConfig
from recstack.init.propose import propose
from recstack.init.questions import Question
from recstack.init.roles import Given
from tests.recstack.init.tables import (
    DAY,
    EVENTS_A_USER,
    NUM_ITEMS,
    NUM_USERS,
    START,
    counts,
    items,
    log,
    refusal,
    stack_of,
    written,
)

_ROWS = NUM_USERS * EVENTS_A_USER


def taken(stack: StackConfig) -> tuple[str, ...]:
    return tuple(map(stack.pipeline.interactions.column, ("user_id", "item_id", "timestamp")))


@pytest.mark.parametrize(
    ("names", "delimiter"),
    [(("user_id", "beer_id"), ","), (("member_id", "wine_code"), "|"), (("reader_id", "title_key"), ";")],
)
def test_an_items_table_with_the_same_column_tells_which_it_is(
    tmp_path: Path, names: tuple[str, str], delimiter: str
) -> None:
    """Users and items are numbered from 1, so that the ids of either are in the items table."""
    user, item = names
    table = log().rename(columns={"user_id": user, "item_id": item}).assign(**{user: log().user_id % 20 + 1})
    paths = [written(table, tmp_path / "log.csv", sep=delimiter)]
    paths.append(written(items().rename(columns={"item_id": item}), tmp_path / "items.csv", sep=delimiter))
    stack = stack_of(tmp_path, "--interactions", paths[0], "--items", paths[1])
    assert taken(stack) == (user, item, "timestamp")
    assert stack.pipeline.items.column("item_id") == item


_ZONES: dict[str, Callable[[int], str]] = {
    "UTC": lambda t: f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d %H:%M:%S} UTC",
    "GMT": lambda t: f"{datetime.fromtimestamp(t, UTC):%d/%m/%Y %H:%M:%S} GMT",
    "offset": lambda t: f"{datetime.fromtimestamp(t, ZoneInfo('Asia/Kolkata')):%Y-%m-%d %H:%M:%S%z}",
    "twitter": lambda t: f"{datetime.fromtimestamp(t, UTC):%a %b %d %H:%M:%S +0000 %Y}",
    "name": lambda t: f"{datetime.fromtimestamp(t, ZoneInfo('Europe/Berlin')):%Y-%m-%d %H:%M:%S} Europe/Berlin",
}


@pytest.mark.parametrize("zone", _ZONES)
def test_times_with_zones_win_over_numbers_that_look_like_times(tmp_path: Path, zone: str) -> None:
    table = log().assign(when=log().timestamp.map(_ZONES[zone]), category_id=2_053_013_555_631_882_655 + log().item_id)
    stack = stack_of(tmp_path, "--interactions", written(table.drop(columns="timestamp"), tmp_path / "log.csv"))
    assert taken(stack)[2] == "when"
    proposal = propose({"interactions": TableSource(path=str(tmp_path / "log.csv"))}, Given(), workdir="w")
    seconds = proposal.roles.time.seconds(_ROWS).to_pylist()
    assert seconds == log().timestamp.tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spell", "rules"),
    [
        (lambda n: f"{n}.0", {"float_suffix": "drop"}),
        (lambda n: f" {n} ", {"strip": True}),
        (lambda n: f"{n:05d}", {"leading_zeros": "drop"}),
        (lambda n: f"Item{n}", {"case": "lower"}),
    ],
)
def test_ids_that_are_spelt_otherwise_are_brought_together(
    tmp_path: Path, spell: Callable[[int], str], rules: dict[str, object]
) -> None:
    catalogue = items()
    if "case" in rules:
        catalogue["item_id"] = [f"item{n}" for n in catalogue.item_id]
    paths = [written(log().assign(item_id=log().item_id.map(spell)), tmp_path / "log.csv")]
    paths.append(written(catalogue, tmp_path / "items.csv"))
    stack = stack_of(tmp_path, "--interactions", paths[0], "--items", paths[1])
    assert {name: getattr(stack.pipeline.interactions.ids, name) for name in rules} == rules
    assert counts(stack, tmp_path)["candidates"] == NUM_ITEMS


@pytest.mark.slow
def test_ids_beyond_the_exact_floats_stay_apart(tmp_path: Path) -> None:
    for first in (2**53 + 1, 2**63 + 1, 10**30):
        paths = [
            written(table.assign(item_id=[str(first + n) for n in table.item_id]), tmp_path / name)
            for table, name in ((log(), "log.csv"), (items(), "items.csv"))
        ]
        stack = stack_of(tmp_path, "--interactions", paths[0], "--items", paths[1])
        assert counts(stack, tmp_path / str(first))["candidates"] == NUM_ITEMS


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["tsv", "csv", "dat", "csv.gz"])
def test_a_file_without_a_header_stops_with_the_flag_that_names_its_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    delimiter = {"tsv": "\t", "dat": "::"}.get(ending, ",")
    table = log().assign(rating=log().index % 5 + 1)[["user_id", "item_id", "rating", "timestamp"]]
    text = "".join(delimiter.join(map(str, row)) + "\n" for row in table.to_numpy().tolist())
    path = tmp_path / f"u.{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    error = refusal(capsys, tmp_path, "--interactions", str(path))
    names = ["user_id", "item_id", "rating", "timestamp"]
    assert "the first line reads as data" in error
    assert f"--header {' '.join(names)}" in error
    stack = stack_of(tmp_path, "--interactions", str(path), "--header", *names)
    assert stack.pipeline.interactions.header == tuple(names)
    assert counts(stack, tmp_path)["interactions_read"] == _ROWS


@pytest.mark.parametrize("keys", [("user.id", "item.id"), ("customer.uid", "product.info.sku")])
def test_fields_of_nested_json_are_columns(tmp_path: Path, keys: tuple[str, str]) -> None:
    def nested(name: str, value: object) -> dict[str, object]:
        head, _, rest = name.partition(".")
        return {head: nested(rest, value)} if rest else {head: value}

    path = tmp_path / "log.jsonl"
    rows = (
        nested(keys[0], f"u{u}") | nested(keys[1], f"i{i}") | {"timestamp": t} for u, i, t in log().to_numpy().tolist()
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stack = stack_of(tmp_path, "--interactions", str(path))
    assert taken(stack) == (*keys, "timestamp")


@pytest.mark.slow
@pytest.mark.parametrize("words", [("NULL", "nan", "\\N", "None", ""), ("?",), ("-", "n.a.")])
def test_words_for_missing_values_are_none(tmp_path: Path, words: tuple[str, ...]) -> None:
    prices = items().price.astype(object)
    prices[::3] = [words[n % len(words)] for n in range(len(prices[::3]))]
    catalogue = written(items().assign(price=prices), tmp_path / "items.csv")
    stack = stack_of(tmp_path, "--interactions", written(log(), tmp_path / "log.csv"), "--items", catalogue)
    assert next(f for f in stack.features.candidate if f.name == "price").kind == "numeric"
    found = counts(stack, tmp_path)
    assert (found["items_read"], found["items_rejected"]) == (NUM_ITEMS, 0)


def _every(second: int, values: Callable[[pd.Series], pd.Series]) -> pd.DataFrame:
    times = log().timestamp
    return log().assign(timestamp=np.where(np.arange(_ROWS) % second, times, values(times)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "words"),
    [
        (_every(3, lambda times: times * 0), "written as 0"),
        (_every(2, lambda times: times * 1000), "in the future"),
        (log().assign(timestamp=START), "all 480 times are 2023-11-14 22:13:20"),
        (log().assign(timestamp=log().timestamp + 40 * 365 * DAY), "in the future"),
    ],
)
def test_implausible_times_are_refused_unless_insisted_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: pd.DataFrame, words: str
) -> None:
    path = written(table, tmp_path / "log.csv")
    error = refusal(capsys, tmp_path, "--interactions", path)
    assert words in error or "does not read as one" in error
    assert "--timestamp row-order" in error
    if "year" not in words and table.timestamp.max() < 2e9:
        stack = stack_of(tmp_path, "--interactions", path, "--timestamp", "timestamp")
        assert stack.pipeline.interactions.implausible_times == "keep"
        assert counts(stack, tmp_path)["interactions_read"] == _ROWS


@pytest.mark.parametrize("name", ["hour", "weekday", "Day", "month"])
def test_hours_and_weekdays_are_no_order(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    table = log().drop(columns="timestamp").assign(**{name: np.arange(_ROWS) % 7})
    assert "no column could be the time" in refusal(
        capsys, tmp_path, "--interactions", written(table, tmp_path / "log.csv")
    )


@pytest.mark.parametrize("flag", ["--timestamp", "--user-id", "--item-id"])
def test_a_named_column_that_cannot_have_the_role_is_told_with_its_first_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    table = log().assign(mood=[["fine"]] * _ROWS)
    path = tmp_path / "log.parquet"
    table.to_parquet(path)
    if flag == "--timestamp":
        table.assign(mood="fine").to_parquet(path)
    error = refusal(capsys, tmp_path, "--interactions", str(path), flag, "mood")
    assert flag in error
    assert "fine" in error


def test_one_column_has_one_role(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(log(), tmp_path / "log.csv")
    error = refusal(capsys, tmp_path, "--interactions", path, "--user-id", "user_id", "--item-id", "user_id")
    assert "a column of its own" in error


def _scale(levels: list[float]) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.choice(levels, _ROWS)


@pytest.mark.parametrize(
    ("name", "levels", "found"),
    [
        ("rating", [-1, 1, 2, 3, 4, 5], True),
        ("score", [-10, 0, 1, 2, 3, 4, 5], True),
        ("Bewertung", [1, 2, 3, 4, 5], True),
        ("v", [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4], True),
        ("оценка", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], True),
        ("quantity", [1, 2, 3, 4, 5], False),
        ("position", [1, 2, 3, 4, 5], False),
        ("x", [1, 2, 3, 17], False),
    ],
)
def test_grades_are_found_by_values_and_a_lone_value_below_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, levels: list[float], found: bool
) -> None:
    table = log().assign(**{name: _scale(levels)})
    stack = stack_of(tmp_path, "--interactions", written(table, tmp_path / "log.csv"))
    assert stack.pipeline.label.rating_column == (name if found else "")
    assert ("not rated" in capsys.readouterr().err) == (levels[0] < 0)
    if found:
        # What does not belong to the scale does not move the threshold.
        scale = table[name][table[name] >= 0]
        assert 0.2 < np.mean(scale >= stack.pipeline.label.threshold) <= 0.6


@pytest.mark.slow
@pytest.mark.parametrize("write", [lambda v: str(v).replace(".", ","), lambda v: f"€ {v}".replace(".", ",")])
def test_decimal_commas_are_numbers(tmp_path: Path, write: Callable[[float], str]) -> None:
    table = log().assign(rating=[write(v) for v in _scale([0.5, 1.5, 2.5, 3.5, 4.5])])
    catalogue = items().assign(price=items().price.map(write))
    paths = [written(table, tmp_path / "log.csv", sep=";"), written(catalogue, tmp_path / "items.csv", sep=";")]
    stack = stack_of(tmp_path, "--interactions", paths[0], "--items", paths[1])
    assert stack.pipeline.label.rating_column == "rating"
    assert stack.pipeline.interactions.decimal == stack.pipeline.items.decimal == ","
    assert next(f for f in stack.features.candidate if f.name == "price").kind == "numeric"
    assert counts(stack, tmp_path)["interactions_rejected"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("delimiter", "encoding"), [(";", "latin-1"), ("|", "cp1251"), ("\t", "utf-16"), (";", "cp1252")]
)
def test_delimiter_and_encoding_are_written_down_with_the_reason(tmp_path: Path, delimiter: str, encoding: str) -> None:
    letters = "Привет, мир" if encoding == "cp1251" else "Café Amélie à Orléans"
    catalogue = items().assign(title=[f"{letters} {n}" for n in range(NUM_ITEMS)])
    paths = [
        written(table, tmp_path / name, sep=delimiter, encoding=encoding)
        for table, name in ((log(), "log.csv"), (catalogue, "items.csv"))
    ]
    stack = stack_of(tmp_path, "--interactions", paths[0], "--items", paths[1])
    assert stack.pipeline.items.delimiter == delimiter
    text = (tmp_path / "items.csv").read_text(encoding=stack.pipeline.items.encoding or encoding)
    assert letters in text
    assert counts(stack, tmp_path)["items_rejected"] == 0
    lines = (tmp_path / "made.toml").read_text().splitlines()
    assert lines[next(n for n, line in enumerate(lines) if line.startswith("delimiter")) - 1].startswith("#")


def test_no_time_goes_by_the_order_of_rows_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(log().drop(columns="timestamp"), tmp_path / "log.csv")
    assert "--timestamp row-order" in refusal(capsys, tmp_path, "--interactions", path)
    stack = stack_of(tmp_path, "--interactions", path, "--timestamp", "row-order")
    assert "later rows are taken for later events" in capsys.readouterr().err
    assert stack.pipeline.interactions.timestamp_format == "row-order"
    assert stack.pipeline.split.kind != "global_time"
    assert counts(stack, tmp_path)["users_test"] == NUM_USERS


def test_one_event_a_user_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack = stack_of(tmp_path, "--interactions", written(log().assign(user_id=range(_ROWS)), tmp_path / "log.csv"))
    assert "every user has one event" in capsys.readouterr().err
    assert counts(stack, tmp_path)["users_test"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(("separator", "column"), [(" ", "impressions"), (",", "shown")])
def test_lists_of_shown_items_become_one_event_each(tmp_path: Path, separator: str, column: str) -> None:
    rng = np.random.default_rng(0)
    shown = [[f"N{n}-{int(place == 2)}" for place, n in enumerate(rng.integers(1, 40, 5))] for _ in range(_ROWS)]
    read = [" ".join(f"N{n}" for n in rng.integers(1, 40, 4)) for _ in range(_ROWS)]
    table = log().drop(columns="item_id").assign(history=read, **{column: [separator.join(one) for one in shown]})
    stack = stack_of(tmp_path, "--interactions", written(table, tmp_path / "log.tsv", sep="\t"))
    assert stack.pipeline.interactions.shown_items == column
    assert stack.pipeline.label.event_weights == {"0": 0.0, "1": 1.0}
    assert stack.pipeline.interactions.earlier_items == "history"
    found = counts(stack, tmp_path)
    # Each user's first row lists four items that were clicked before it.
    assert (found["interactions_read"], found["earlier_events"]) == (5 * _ROWS, 4 * NUM_USERS)


@pytest.mark.parametrize("properties", [("title", "price"), ("title", "price", "brand")])
def test_several_rows_an_item_are_told_with_how_to_pivot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], properties: tuple[str, ...]
) -> None:
    wide = items().assign(brand="b")
    long = wide.melt(id_vars="item_id", value_vars=list(properties), var_name="property", value_name="value")
    paths = [written(log(), tmp_path / "log.csv"), written(long, tmp_path / "items.csv")]
    error = refusal(capsys, tmp_path, "--interactions", paths[0], "--items", paths[1])
    assert f"'item_id' does, but in {len(properties)}.0 rows an item" in error
    assert "pivot(index='item_id', columns='property', values='value')" in error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("user", "item", "title"),
    [("用户id", "商品id", "标题"), ("клиент", "товар", "название"), ("ユーザー", "商品", "題名")],
)
def test_names_in_any_script_are_mapped_to_ascii(tmp_path: Path, user: str, item: str, title: str) -> None:
    """TensorFlow names the inputs of a SavedModel in ASCII; the table's own name stays in `columns`."""
    catalogue = items()[["item_id", "title"]].rename(columns={"item_id": item, "title": title})
    paths = [written(log().rename(columns={"user_id": user, "item_id": item}), tmp_path / "log.csv")]
    paths.append(written(catalogue, tmp_path / "items.csv"))
    stack = stack_of(tmp_path, "--interactions", paths[0], "--items", paths[1])
    assert taken(stack) == (user, item, "timestamp")
    [_, feature] = stack.features.candidate
    assert feature.name.isascii()
    assert feature.name.isidentifier()
    assert feature.name != "column"
    assert stack.pipeline.items.column(feature.name) == title
    assert counts(stack, tmp_path)["items_rejected"] == 0


@pytest.mark.parametrize("second", ["visitor_id", "customer_key"])
def test_what_is_doubtful_is_asked_or_named_in_the_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], second: str
) -> None:
    path = written(log().assign(**{second: log().user_id % 15 + 100}), tmp_path / "log.csv")
    error = refusal(capsys, tmp_path, "--interactions", path)
    assert f"--user-id user_id or --user-id {second}" in error
    asked: list[Question] = []

    def ask(question: Question) -> str:
        asked.append(question)
        return second

    proposal = propose({"interactions": TableSource(path=path)}, Given(), workdir="w", ask=ask)
    assert proposal.roles.user.column.name == second
    assert [len(column.examples) for column in asked[0].choices] == [3, 3]


def test_the_users_id_looks_up_the_history_and_is_not_learnt(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, "--interactions", written(log(), tmp_path / "log.csv"))
    assert [feature.name for feature in stack.features.embedded_query] == ["history"]
    assert "memorises" in (tmp_path / "made.toml").read_text()
