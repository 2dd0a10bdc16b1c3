"""`recstack query`: what its arguments become."""

import asyncio
import json
import math
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from features.disk.layout import DatasetLayout
from features.encoding.vocabulary import Vocabulary
from features.errors import InputError
from features.schema import Schema
from features.spec.categorical import CategoricalFeature
from features.spec.history import HistoryFeature, HistoryTimesFeature
from features.spec.ids import IdFeature
from features.spec.numeric import NumericFeature
from features.spec.time import TimestampFeature
from features.spec.vector import VectorFeature
from recstack.__main__ import main
from recstack.config import load_config
from recstack.console import Voice
from recstack.display import read_display_data, read_titles
from recstack.reasons import as_json
from recstack.verbs.query import (
    QueryArguments,
    _context,
    _filters,
    _inputs,
    _note_on_user,
    _notes_on_context,
    _notes_on_items,
    _share,
    _table,
    query,
)
from serving.client import AsyncRecommenderClient, Explanation, Recommendation
from serving.config import ServerConfig
from serving.server import Server
from tests.checkerboard import NUM_ITEMS

SCHEMA = Schema(
    query=(
        IdFeature(name="user_id"),
        HistoryFeature(),
        HistoryTimesFeature(),
        TimestampFeature(name="timestamp"),
        CategoricalFeature(name="device"),
        NumericFeature(name="age"),
        VectorFeature(name="taste", length=2),
    ),
    candidate=(IdFeature(name="item_id"),),
)


def test_filters_are_bounds_or_lists():
    given = ["year_min=1990", "genres_any_of=Drama,War", "allow_item_ids=a=b"]
    assert _filters(given) == {"year_min": 1990.0, "genres_any_of": ["Drama", "War"], "allow_item_ids": ["a=b"]}


@pytest.mark.parametrize("text", ["year", "year_max=soon"])
def test_a_filter_that_is_none_is_named(text):
    with pytest.raises(InputError, match=f"--filters {text}: expected"):
        _filters([text])


@pytest.mark.parametrize("name", ["diversity", "new_item_share"])
def test_a_share_is_an_input_of_the_model_and_none_leaves_the_models_own(name):
    assert _share(name, 0.25) == {name: 0.25}
    assert _share(name, 0.0) == {name: 0.0}
    assert _share(name, None) == {}


@pytest.mark.parametrize("given", [-0.5, 1.01, float("nan")])
def test_a_share_out_of_range_is_refused_by_its_flag(given):
    with pytest.raises(InputError, match=f"--new-item-share {given}: expected a number from 0 to 1"):
        _share("new_item_share", given)


def test_a_column_tells_which_places_were_kept_for_new_items_where_there_are_any():
    known, new = Recommendation("a", 0.5), Recommendation("b", 0.25, is_explored=True)
    assert [column.header for column in _table([known], {}).columns] == ["item", "score"]
    (*_, place) = _table([known, new], {}).columns
    assert list(place.cells) == ["", "kept for new items"]


def test_context_takes_the_types_of_the_features():
    given = ["device=a=b", "age=31", "taste=0.5,-1", "history_timestamps=7,8", "timestamp=9"]
    assert _context(SCHEMA, given) == {
        "device": "a=b",
        "age": 31.0,
        "taste": [0.5, -1.0],
        "history_timestamps": [7, 8],
        "timestamp": 9,
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ["device"],
            "--context device: expected name=value, with a name that the configuration has: timestamp, device",
        ),
        (["devise=phone"], "device, age, taste"),
        (["user_id=7"], "--context user_id=7: expected"),
        (["history=7"], "--context history=7: expected"),
        (["age=old"], "--context age=old: expected number"),
        (["age=inf"], "--context age=inf: expected a finite number"),
        (["taste=1,-inf"], "--context taste=1,-inf: expected a finite number"),
        (["timestamp=1.5"], "--context timestamp=1.5: expected whole number"),
        (["history_timestamps=1,b"], "--context history_timestamps=1,b: expected whole numbers"),
        (["taste=1"], "--context taste=1: 1 numbers found, expected 2"),
        (["age=1", "age=2"], "age is given twice"),
    ],
)
def test_context_that_the_model_cannot_take_is_named(given, words):
    with pytest.raises(InputError) as caught:
        _context(SCHEMA, given)
    assert words in str(caught.value)


@pytest.mark.parametrize("history", [(), ("i1",), ("i1", "i2", "i3")])
def test_each_item_of_the_history_has_its_time(history):
    stack = replace(load_config(None), features=SCHEMA)
    arguments = QueryArguments(stack=stack, history=history, context=("history_timestamps=7,8",))
    with pytest.raises(InputError, match=f"history_timestamps: 2 values found, .* each of the {len(history)} items"):
        _inputs(stack, arguments)
    assert _inputs(stack, replace(arguments, history=("i1", "i2")))["history_timestamps"] == [[7, 8]]


def test_a_model_without_context_says_so():
    bare = Schema(query=(IdFeature(name="user_id"),), candidate=(IdFeature(name="item_id"),))
    with pytest.raises(InputError, match="no query feature beside"):
        _context(bare, ["age=3"])


def arguments(checkerboard, **given):
    return QueryArguments(stack=checkerboard, **given)


def test_an_unknown_user_is_said_and_what_the_model_goes_by_instead(checkerboard):
    inputs = {"user_id": ["nobody"]}
    note = _note_on_user(arguments(checkerboard, user="nobody"), inputs)
    assert note == (
        "user 'nobody' is unknown to the model: answered as a new user; the model knows nothing of the user; --history "
        "would say what the user liked"
    )
    note = _note_on_user(arguments(checkerboard, user="nobody", history=("i0",)), inputs)
    assert note == "user 'nobody' is unknown to the model: answered as a new user; the model goes by --history"


def test_no_user_is_a_new_user(checkerboard):
    note = _note_on_user(arguments(checkerboard, history=("i0",)), {"user_id": [""]})
    assert note == "no --user is given: answered as a new user; the model goes by --history"


def test_items_that_the_model_does_not_know_are_named(checkerboard, tmp_path):
    given = {"history": ("i0", "I1", "i2"), "exclude": ("i3", " i4")}
    assert list(_notes_on_items(arguments(checkerboard, **given))) == [
        "--history: not in the catalogue, so read as an unknown item, which says little or nothing: I1",
        "--exclude: not in the catalogue, so without effect:  i4",
    ]
    assert not list(_notes_on_items(arguments(checkerboard, history=("i0",), exclude=("i3",))))
    assert not list(_notes_on_items(arguments(replace(checkerboard, workdir=tmp_path), **given)))


def test_items_of_the_history_without_training_events_are_named(checkerboard, monkeypatch):
    monkeypatch.setattr(Vocabulary, "read", lambda path: Vocabulary(("i0", "i1")))
    (note,) = _notes_on_items(arguments(checkerboard, history=("i0", "i2"), exclude=("i3",)))
    assert note == "--history: in the catalogue, but unknown to the model, so they say little or nothing: i2"


def test_values_of_the_context_that_were_never_learnt_are_named(checkerboard, tmp_path):
    described = replace(checkerboard.features, query=(*checkerboard.features.query, CategoricalFeature(name="country")))
    stack = replace(checkerboard, workdir=tmp_path, features=described)
    given = arguments(stack, context=("country=Atlantis", "timestamp=7"))
    assert not list(_notes_on_context(given))  # nobody can say without a dataset
    path = stack.layout.dataset.vocabulary("country")
    path.parent.mkdir(parents=True)
    Vocabulary(("NO", "IT")).write(path)
    (note,) = _notes_on_context(given)
    assert note.startswith("--context country:")
    assert note.endswith(": Atlantis")
    assert not list(_notes_on_context(arguments(stack, context=("country=IT",))))


def test_a_known_user_needs_no_note(checkerboard):
    assert _note_on_user(arguments(checkerboard, user="u0"), {"user_id": ["u0"]}) is None


def test_without_a_dataset_nothing_is_known_of_users(checkerboard, tmp_path):
    elsewhere = replace(checkerboard, workdir=tmp_path)
    assert _note_on_user(arguments(elsewhere, user="nobody"), {"user_id": ["nobody"]}) is None


def test_a_user_that_the_features_do_not_hold_is_not_sent(checkerboard):
    note = _note_on_user(arguments(checkerboard, user="u0", history=("i0",)), {"history": [["i0"]]})
    assert note == "the features have no user_id: --user is not sent; the model goes by --history"
    assert _note_on_user(arguments(checkerboard, history=("i0",)), {"history": [["i0"]]}) is None


def test_titles_are_those_that_tensorflow_reads(checkerboard):
    dataset = checkerboard.layout.dataset
    everything = read_display_data(checkerboard.features, dataset).titles
    assert len(everything) == NUM_ITEMS
    some = list(everything)[3:7]
    assert read_titles(checkerboard.features, dataset, some) == {item: everything[item] for item in some}
    assert read_titles(checkerboard.features, dataset, ["nowhere"]) == {}


def test_without_a_dataset_or_texts_there_are_no_titles(checkerboard, tmp_path):
    dataset = checkerboard.layout.dataset
    assert read_titles(checkerboard.features, DatasetLayout(tmp_path), ["i0"]) == {}
    assert read_titles(SCHEMA, dataset, ["i0"]) == {}


def test_reading_titles_needs_no_tensorflow():
    code = "import sys, recstack.verbs.query; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@contextmanager
def served(checkerboard, model) -> Iterator[dict]:
    """Serves a model; yields the arguments of a query that reach it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = checkerboard.layout.model(model).base.resolve()
    server = Server(ServerConfig(port=port, model_name=model, model_base_path=str(base)))
    server.start()
    try:
        yield {"address": f"127.0.0.1:{port}", "model": model, "k": 3}
    finally:
        server.stop(grace=0.1)


def test_the_answer_has_titles_and_unknown_users_are_said(checkerboard, capsys):
    with served(checkerboard, "retrieval_exact") as given:
        items = query(arguments(checkerboard, user="nobody", **given), Voice("query", as_json=False))
        everything = read_display_data(checkerboard.features, checkerboard.layout.dataset).titles
        none = query(arguments(checkerboard, exclude=tuple(everything), **given), Voice("query", as_json=False))
        with pytest.raises(InputError, match="'retrieval_exact' has no signature 'explain'"):
            query(arguments(checkerboard, explain=True, **given), Voice("query", as_json=False))
    printed = capsys.readouterr()
    assert "user 'nobody' is unknown to the model" in printed.err
    assert not none
    assert printed.err.count("no item is left") == 1
    titles = read_titles(checkerboard.features, checkerboard.layout.dataset, [item.item_id for item in items])
    assert len(titles) == len(items) == 3
    assert all(title in printed.out for title in titles.values())


@pytest.mark.slow  # serves the recommender
def test_reasons_are_shown_to_people_and_programs(checkerboard, capsys):
    async def asked_async(address: str) -> list[Explanation]:
        async with AsyncRecommenderClient(address, model="recommender") as client:
            return (await client.explain({"user_id": ["u8"]}, k=3))[0]

    with served(checkerboard, "recommender") as given:
        items = query(arguments(checkerboard, user="u8", explain=True, **given), Voice("query", as_json=False))
        shown = capsys.readouterr().out
        query(arguments(checkerboard, user="u8", explain=True, **given), Voice("query", as_json=True))
        answer = json.loads(capsys.readouterr().out)
        asked = asyncio.run(asked_async(given["address"]))
    titles = read_titles(checkerboard.features, checkerboard.layout.dataset, [item.item_id for item in items])
    assert all(title in shown for title in titles.values())
    assert " retrieval " in shown
    assert [item["item_id"] for item in answer["items"]] == [item.item_id for item in items]
    assert [item["explanation"] for item in answer["items"]] == [as_json(each) for each in asked]
    for item in answer["items"]:
        told = item["explanation"]
        total = told["baseline"] + sum(told["features"].values())
        assert total == pytest.approx(sum(told["groups"].values(), told["baseline"]))
        assert total == pytest.approx(math.log(item["score"]), abs=0.05)


def test_more_items_than_can_be_explained_are_refused_by_the_flag(tmp_path, capsys):
    assert main(["query", "--workdir", str(tmp_path), "--explain", "--k", "101"]) == 2
    assert "--k 101: expected at most 100 with --explain; ask for fewer" in capsys.readouterr().err
