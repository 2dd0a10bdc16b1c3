"""Columns as people have them: lists in texts, names of users, addresses, dates, types behind names."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beam_pipelines.config import TableSource
from beam_pipelines.config.source import TableName
from features.spec.base import Feature
from features.spec.multi_valued import MultiValuedFeature
from features.spec.text import TextFeature
from features.spec.vector import VectorFeature
from recstack.init.proposal import FeatureChoice, LeftOut
from recstack.init.propose import Proposal, propose
from recstack.init.roles import Given
from tests.recstack.init.tables import NUM_ITEMS, NUM_USERS, counts, items, log, refusal, stack_of, written

_GENRES = ("Action", "Hard Rock", "Don't", "Sci-Fi", "Drama")


def proposal_of(folder: Path, given: Given | None = None, **tables: pd.DataFrame) -> Proposal:
    """What `init` makes of the log, as it is or as it is given, and of the other tables."""
    frames = {"interactions": log()} | tables
    sources: dict[TableName, TableSource] = {}
    for name, frame in frames.items():
        sources[name] = TableSource(path=written(frame, folder / f"{name}.csv"))  # type: ignore[index]
    return propose(sources, given or Given(), workdir="w")


def feature(proposal: Proposal, column: str) -> Feature:
    found = [c for c in proposal.columns if isinstance(c, FeatureChoice) and c.column == column and c.active]
    assert len(found) == 1, column
    return found[0].feature


def why_not(proposal: Proposal, column: str) -> str:
    [found] = [c for c in proposal.columns if isinstance(c, LeftOut) and c.column == column]
    return found.why


def genres() -> list[list[str]]:
    return [sorted({_GENRES[n % 5], _GENRES[n // 5 % 5]}) for n in range(NUM_ITEMS)]


_NOTATIONS: dict[str, Callable[[Sequence[str]], str]] = {
    "json": json.dumps,
    "python": repr,
    "tuple": lambda entries: repr((*entries, "x")),
    "numpy": lambda entries: str(np.array(entries)),
    "bare": lambda entries: f"[{', '.join(entries)}]",
    "comma": ",".join,
    "comma and blank": ", ".join,
    "bar and blanks": " | ".join,
}


@pytest.mark.parametrize("notation", _NOTATIONS)
@pytest.mark.slow
def test_lists_in_texts_become_their_entries(tmp_path: Path, notation: str) -> None:
    catalogue = items().assign(genres=[_NOTATIONS[notation](entries) for entries in genres()])
    paths = [written(log(), tmp_path / "log.csv"), written(catalogue, tmp_path / "items.csv")]
    stack = stack_of(tmp_path, "--interactions", paths[0], "--items", paths[1])
    [found] = [f for f in stack.features.candidate if f.name == "genres"]
    assert isinstance(found, MultiValuedFeature)
    counts(stack, tmp_path)
    learnt = set((tmp_path / "dataset" / "vocabulary" / "genres.txt").read_text().splitlines())
    assert learnt == set(_GENRES) | ({"x"} if notation == "tuple" else set())


@pytest.mark.parametrize(
    "write", [str, json.dumps, lambda numbers: " ".join(map(str, numbers)), lambda n: f"{n[0]}|{n[1]}|{n[2]}"]
)
def test_vectors_in_texts_become_vectors(tmp_path: Path, write: Callable[[list[float]], str]) -> None:
    vectors = np.random.default_rng(0).normal(size=(NUM_ITEMS, 3)).round(4).tolist()
    proposal = proposal_of(tmp_path, items=items().assign(content=[write(vector) for vector in vectors]))
    assert feature(proposal, "content") == VectorFeature(name="content", length=3)


@pytest.mark.parametrize("name", [lambda u: f"name{u}", lambda u: f'J. "{u}" Doe', lambda u: f"user{u}@example.org"])
def test_a_column_that_names_the_user_again_is_left_out(tmp_path: Path, name: Callable[[int], str]) -> None:
    in_log = log().assign(visitor_name=log().user_id.map(name))
    assert "value of its own" in why_not(proposal_of(tmp_path, interactions=in_log), "visitor_name")
    users = pd.DataFrame({"user_id": range(1, NUM_USERS + 1)}).assign(full_name=lambda t: t.user_id.map(name))
    assert "value of its own" in why_not(proposal_of(tmp_path, users=users), "full_name")


@pytest.mark.parametrize("title", [lambda i: f"Film{i}", lambda i: f"The story of {i}"])
def test_a_column_that_names_the_item_again_is_its_title(tmp_path: Path, title: Callable[[int], str]) -> None:
    proposal = proposal_of(tmp_path, interactions=log().assign(title=log().item_id.map(title)))
    assert isinstance(feature(proposal, "title"), TextFeature)
    proposal = proposal_of(tmp_path, items=items().assign(title=lambda t: t.item_id.map(title)))
    assert isinstance(feature(proposal, "title"), TextFeature)


@pytest.mark.parametrize(
    ("column", "why"),
    [
        ([f"https://shop.example/{n}" for n in range(NUM_ITEMS)], "addresses"),
        ([f"covers/large/{n}.jpg" for n in range(NUM_ITEMS)], "addresses"),
        ([f"{n % 28 + 1:02d}-Jan-1995" for n in range(NUM_ITEMS)], "a date"),
        ([f"{1990 + n}-02-03" for n in range(NUM_ITEMS)], "a date"),
        ([*map(str, range(NUM_ITEMS - 3)), "Free to Play", "free", "Free"], "'Free to Play' in some rows"),
        ([f"[{{'id': {n % 4}, 'name': 'a'}}]" for n in range(NUM_ITEMS)], "lists of objects"),
        ([f"['about {n}', 'more of {n}']" for n in range(NUM_ITEMS)], "occur once"),
        ([f"code{n}" for n in range(NUM_ITEMS)], "value of its own"),
    ],
)
def test_columns_that_tell_nothing_as_they_are_say_why(tmp_path: Path, column: list[str], why: str) -> None:
    assert why in why_not(proposal_of(tmp_path, items=items().assign(extra=column)), "extra")


def test_types_behind_names_leave_the_names_and_cut_the_lists(tmp_path: Path) -> None:
    typed = items().assign(genres=["\t".join(g).replace(" ", "").replace("\t", " ") for g in genres()])
    typed = typed.rename(columns={"item_id": "item_id:token", "title": "title:token_seq", "genres": "genres:token_seq"})
    typed = typed.rename(columns={"price": "price:float"})
    events = log().rename(columns={n: f"{n}:{'float' if n == 'timestamp' else 'token'}" for n in log().columns})
    proposal = proposal_of(tmp_path, interactions=events, items=typed)
    assert proposal.roles.names == {"user_id:token", "item_id:token", "timestamp:float"}
    found = feature(proposal, "genres:token_seq")
    assert isinstance(found, MultiValuedFeature)
    assert (found.name, found.separator) == ("genres", " ")
    assert isinstance(feature(proposal, "title:token_seq"), TextFeature)
    assert feature(proposal, "price:float").name == "price"


@pytest.mark.parametrize("other", ["url", "show", "page_name"])
def test_values_tell_the_key_before_names_do(tmp_path: Path, other: str) -> None:
    """`url` is called like an item and holds none of the log's ids."""
    catalogue = (
        items().rename(columns={"item_id": "id"}).assign(**{other: [f"http://a.example/{n}" for n in range(NUM_ITEMS)]})
    )
    proposal = proposal_of(tmp_path, items=catalogue[[other, "id", "title"]])
    settings = {setting.path: setting.value for setting in proposal.settings}
    assert settings["pipeline.items.columns"]["item_id"] == "id"


@pytest.mark.parametrize(("user", "item"), [("username", "product_id"), ("login", "game"), ("email", "film")])
def test_users_and_items_are_found_by_what_they_are_called_by(tmp_path: Path, user: str, item: str) -> None:
    events = log().rename(columns={"user_id": user, "item_id": item})
    events = events.assign(
        **{item: [f"Game {n}, the return of it" for n in events[item]], user: [f"p {n}" for n in events[user]]}
    )
    roles = proposal_of(tmp_path, interactions=events).roles
    assert (roles.user.column.name, roles.item.column.name) == (user, item)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["order_number", "step", "seq"])
def test_places_in_an_order_are_asked_about_where_there_is_no_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    events = log()
    turns = events.groupby("user_id").cumcount() // 3 + 1
    events = events.drop(columns="timestamp").assign(order_hour=9 + turns % 5, **{place: turns})
    path = written(events, tmp_path / "log.csv")
    assert f"--timestamp {place}" in refusal(capsys, tmp_path, "--interactions", path)
    stack = stack_of(tmp_path, "--interactions", path, "--timestamp", place)
    assert counts(stack, tmp_path)["users_test"] == NUM_USERS


@pytest.mark.parametrize("text", ["%m %d, %Y", "%Y-%m-%d", "%d/%m/%Y"])
def test_of_two_columns_with_the_same_moments_the_finer_one_is_read(tmp_path: Path, text: str) -> None:
    days = pd.to_datetime(log().timestamp, unit="s").dt.strftime(text)
    for seconds in (log().timestamp, log().timestamp // 86_400 * 86_400):
        events = log().drop(columns="timestamp").assign(review_time=days, unix_review_time=seconds)
        assert proposal_of(tmp_path, interactions=events).roles.time.names == {"unix_review_time"}


@pytest.mark.parametrize("moment", ["timestamp", "date", ""])
def test_a_property_in_several_rows_is_pivoted_by_its_last_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], moment: str
) -> None:
    rows = [
        (1_700_000_000 + week * 604_800, i, p, f"{p}{i % 5}")
        for i in range(1, NUM_ITEMS + 1)
        for week in (0, 1)
        for p in "ab"
    ]
    table = pd.DataFrame(rows, columns=[moment or "unused", "item_id", "property", "value"])
    table = table if moment else table.drop(columns="unused")
    paths = [written(log(), tmp_path / "log.csv"), written(table, tmp_path / "items.csv")]
    error = refusal(capsys, tmp_path, "--interactions", paths[0], "--items", paths[1])
    command = error[error.index("table.") :].strip()
    assert (f"sort_values('{moment}')" in command) == bool(moment)
    wide = eval(command, {"table": table})
    path = written(wide, tmp_path / "wide.csv")
    assert feature(proposal_of(tmp_path, items=pd.read_csv(path)), "a").name == "a"
