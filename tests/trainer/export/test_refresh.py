"""A new catalogue for the trained model: items added, changed and gone, without training."""

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from features.errors import ConfigError, InputError
from recstack.config import StackConfig
from recstack.console import Voice
from recstack.stages import export
from recstack.verbs.query import QueryArguments, _notes_on_items, _titles
from recstack.verbs.rollback import rollback
from tests.checkerboard import NUM_ITEMS, item, title
from tests.trainer.export.loading import load

pytestmark = pytest.mark.slow  # prepares another catalogue and exports it
GONE, CHANGED, NEW = "i0", "i1", "i-new"
QUERY = {"user_id": tf.constant(["u2"]), "history": tf.constant([[""]]), "timestamp": tf.constant([0], tf.int64)}


@pytest.fixture(scope="module")
def refreshed(checkerboard: StackConfig, tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    """A copy of the checkerboard whose index was refreshed from another items table."""
    folder = tmp_path_factory.mktemp("refreshed")
    for part in ("dataset", "runs"):
        shutil.copytree(checkerboard.workdir / part, folder / "work" / part)
    shutil.copytree(
        checkerboard.layout.model("retrieval_exact").base, folder / "work" / "saved_models" / "retrieval_exact"
    )
    with (folder / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("item_id", "title", "number", "remainders"), *rows()])
    stack = replace(
        checkerboard,
        workdir=folder / "work",
        pipeline=replace(
            checkerboard.pipeline, items=replace(checkerboard.pipeline.items, path=str(folder / "items.csv"))
        ),
        export=replace(checkerboard.export, models=("retrieval_exact",)),
    )
    (published,) = export(stack, refresh_index=True)
    assert published.version == 2
    return stack


def rows() -> Iterator[tuple[str, str, float, str]]:
    for n in range(NUM_ITEMS):
        if item(n) != GONE:
            yield (
                item(n),
                title(n),
                1000 if item(n) == CHANGED else n,
                "changed" if item(n) == CHANGED else f"three{n % 3}|five{n % 5}",
            )
    yield NEW, title(98), 98, "three2|five3"


def retrieve_all(stack: StackConfig, **filters: tf.Tensor) -> dict[str, float]:
    """Scores by item id, best first."""
    strings = ("exclude_item_ids", "allow_item_ids", "remainders_any_of", "remainders_none_of")
    restrictions = {
        **{name: tf.constant([[""]]) for name in strings},
        **{name: tf.constant([np.nan], tf.float32) for name in ("number_min", "number_max")},
    }
    found = load(stack, "retrieval_exact").signatures["retrieve"](
        **QUERY, k=tf.constant(NUM_ITEMS + 5), **restrictions | filters
    )
    pairs = zip(found["item_ids"].numpy()[0], found["scores"].numpy()[0], strict=True)
    return {item_id.decode(): float(score) for item_id, score in pairs if item_id}


def embed(stack: StackConfig, signature: str, **inputs: tf.Tensor) -> Any:
    return load(stack, "retrieval_exact").signatures[signature](**inputs)["embedding"].numpy()


def test_the_new_catalogue_is_what_is_found(refreshed: StackConfig) -> None:
    assert sorted(retrieve_all(refreshed)) == sorted(row[0] for row in rows())


def test_a_new_item_scores_as_its_features_say(refreshed: StackConfig, checkerboard: StackConfig) -> None:
    vector = embed(
        checkerboard,
        "embed_item",
        item_id=tf.constant([NEW]),
        title=tf.constant([title(98)]),
        number=tf.constant([98.0]),
        remainders=tf.constant([["three2", "five3"]]),
    )
    expected = float(embed(checkerboard, "embed_query", **QUERY)[0] @ vector[0])
    assert retrieve_all(refreshed)[NEW] == pytest.approx(expected, rel=1e-5)


def test_a_query_shows_titles_of_the_catalogue_that_is_served(
    refreshed: StackConfig, checkerboard: StackConfig, tmp_path: Path
) -> None:
    arguments = QueryArguments(stack=refreshed, model="retrieval_exact", history=(NEW,), exclude=(GONE, "i2"))
    assert _titles(arguments, {NEW, GONE, "i2", "nowhere"}) == {NEW: title(98), GONE: title(0), "i2": title(2)}
    assert list(_notes_on_items(arguments)) == [
        f"--exclude: not in the catalogue, so without effect: {GONE}",
        f"--history: in the catalogue, but unknown to the model, so they say little or nothing: {NEW}",
    ]
    shutil.copytree(refreshed.workdir, tmp_path / "work")
    back = replace(arguments, stack=replace(refreshed, workdir=tmp_path / "work"))
    rollback(back.stack, (), None, "", Voice("rollback", as_json=True))
    assert _titles(back, {NEW, GONE}) == {GONE: title(0)}
    (note,) = _notes_on_items(back)
    assert note.startswith("--history: not in the catalogue")
    assert note.endswith(f": {NEW}")
    # A later refresh was refused and has left another catalogue behind: nobody can say what the served version knows.
    shutil.copytree(refreshed.workdir, tmp_path / "later")
    later = replace(arguments, stack=replace(refreshed, workdir=tmp_path / "later"))
    shutil.copy(later.stack.layout.dataset.manifest, later.stack.layout.catalogue.manifest)
    manifest = json.loads(later.stack.layout.catalogue.manifest.read_text()) | {"kind": "catalogue"}
    later.stack.layout.catalogue.manifest.write_text(json.dumps(manifest))
    assert list(_notes_on_items(later)) == []
    assert _titles(later, {NEW, GONE}) == {GONE: title(0)}
    before = replace(arguments, stack=checkerboard)
    assert _titles(before, {NEW, GONE}) == {GONE: title(0)}


def test_changed_features_filter_anew(refreshed: StackConfig) -> None:
    assert list(retrieve_all(refreshed, number_min=tf.constant([999.0]))) == [CHANGED]
    assert list(retrieve_all(refreshed, remainders_any_of=tf.constant([["changed"]]))) == [CHANGED]


def test_an_item_that_is_gone_still_says_what_its_users_like(refreshed: StackConfig, checkerboard: StackConfig) -> None:
    users = {"user_id": tf.constant([f"u{n}" for n in range(0, 40, 2)])}
    rest = {"history": tf.constant([[""]] * 20), "timestamp": tf.zeros(20, tf.int64)}
    before = embed(checkerboard, "embed_query", **users, **rest)
    np.testing.assert_allclose(embed(refreshed, "embed_query", **users, **rest), before, rtol=1e-5, atol=1e-6)


def test_the_same_table_again_is_nothing_to_do(refreshed: StackConfig) -> None:
    assert [entry.nothing_to_do for entry in export(refreshed, refresh_index=True)] == [True]


def test_without_an_items_table_there_is_nothing_to_refresh_from(checkerboard: StackConfig, tmp_path: Path) -> None:
    items = replace(checkerboard.pipeline.items, path="")
    stack = replace(checkerboard, pipeline=replace(checkerboard.pipeline, items=items))
    with pytest.raises(ConfigError, match=r"pipeline\.items\.path"):
        export(stack, refresh_index=True)


def test_rolled_back_the_former_catalogue_is_served_and_stays(
    refreshed: StackConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(refreshed.workdir, tmp_path / "work")
    stack = replace(refreshed, workdir=tmp_path / "work")
    assert rollback(stack, (), None, "", Voice("rollback", as_json=True)) == {"retrieval_exact": 3}
    assert sorted(retrieve_all(stack)) == sorted(item(n) for n in range(NUM_ITEMS))
    assert json.loads(capsys.readouterr().out)["models"] == {"retrieval_exact": {"version": 3, "of": 1}}
    (again,) = export(stack, refresh_index=True)
    assert (again.version, again.nothing_to_do) == (3, True)
    one = replace(stack, export=replace(stack.export, keep_versions=1))
    export(one, refresh_index=True)
    assert stack.layout.model("retrieval_exact").versions() == [3]


def with_items(
    refreshed: StackConfig, folder: Path, more: list[tuple[str, str, float, str]], *, keep: int
) -> StackConfig:
    """A copy of the refreshed recommender whose table holds the first `keep` rows and some more."""
    shutil.copytree(refreshed.workdir, folder / "work")
    table = [("item_id", "title", "number", "remainders"), *list(rows())[:keep], *more]
    with (folder / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows(table)
    items = replace(refreshed.pipeline.items, path=str(folder / "items.csv"))
    return replace(refreshed, workdir=folder / "work", pipeline=replace(refreshed.pipeline, items=items))


def test_a_table_that_lost_most_items_does_not_replace_what_is_served(refreshed: StackConfig, tmp_path: Path) -> None:
    stack = with_items(refreshed, tmp_path, [], keep=NUM_ITEMS // 2 - 1)
    with pytest.raises(InputError, match=r"19 items, where version 2 of retrieval_exact has 40.*smallest_refresh"):
        export(stack, refresh_index=True)
    assert stack.layout.model("retrieval_exact").versions() == [1, 2]
    lowered = replace(stack, export=replace(stack.export, smallest_refresh=0.25))
    (published,) = export(lowered, refresh_index=True)
    assert published.version == 3
    assert len(retrieve_all(lowered)) == NUM_ITEMS // 2 - 1


def test_of_an_item_that_comes_twice_the_last_row_counts_and_is_told(refreshed: StackConfig, tmp_path: Path) -> None:
    stack = with_items(refreshed, tmp_path, [(CHANGED, "again", 5000, "twice"), ("", "no id", 1, "")], keep=99)
    messages: list[str] = []
    export(stack, messages.append, refresh_index=True)
    told = "\n".join(messages)
    assert "items in the new catalogue: 40; rows with an id that comes again: 1" in told
    assert "rows refused: 1" in told
    assert list(retrieve_all(stack, number_min=tf.constant([999.0]))) == [CHANGED]
    assert list(retrieve_all(stack, remainders_any_of=tf.constant([["twice"]]))) == [CHANGED]
    assert retrieve_all(stack, remainders_any_of=tf.constant([["changed"]])) == {}


def test_one_version_of_several_models_is_refused(refreshed: StackConfig) -> None:
    with pytest.raises(InputError, match="--to 1: one model expected"):
        rollback(refreshed, ("retrieval", "ranking"), 1, "", Voice("rollback", as_json=True))
