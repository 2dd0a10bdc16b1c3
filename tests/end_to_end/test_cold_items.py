"""Items that nobody has chosen yet are found by their vectors, and the evaluation shows it.

Users and items belong to one of six groups, and so does the direction of an item's vector. Two items of each group have
no event before the test split: only the vector says whom they suit.
"""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from features.disk.layout import RunLayout
from recstack.config import StackConfig, parse_config
from recstack.stages import evaluate, export, prepare, stage_context, train
from tests.trainer.export.loading import load
from trainer.restore import restore
from trainer.retrieval.stage import RetrievalStage

GROUPS, USERS_A_GROUP, WARM, COLD, LENGTH = 6, 20, 12, 2, 8
STRANGER = "a stranger"

_CONFIG = """
workdir = "{folder}/work"
seed = 1

[[features.query]]
kind = "id"
name = "user_id"

[[features.query]]
kind = "history"
length = 20

[[features.query]]
kind = "vector"
name = "taste"
length = {length}

[[features.candidate]]
kind = "id"
name = "item_id"

[[features.candidate]]
kind = "vector"
name = "cover"
length = {length}

[pipeline]
num_shards = 1

[pipeline.interactions]
path = "{folder}/interactions.parquet"

[pipeline.items]
path = "{folder}/items.parquet"

[pipeline.users]
path = "{folder}/users.parquet"

[pipeline.split]
kind = "per_user_fraction"
validation = 0.1
test = 0.1

[retrieval]
dimension = 16
id_dropout = 0.3
batch_size = 128
epochs = 30

[retrieval.optimizer]
learning_rate = 0.01

[evaluation]
cutoffs = [10]
resamples = 50

[evaluation.baselines]
names = ["item_cf"]

[export]
models = ["retrieval_exact"]
"""


def items_of(group: int) -> list[str]:
    return [f"{group}-{n}" for n in range(WARM + COLD)]


def vector(group: int, draw: np.random.Generator) -> list[float]:
    """The group's own axis and some noise, of any length: only the direction counts."""
    noisy = np.eye(LENGTH)[group] + draw.normal(size=LENGTH) * 0.1
    return [float(value) for value in noisy * draw.uniform(0.5, 20)]


def write_items(folder: Path, *more: tuple[str, list[float]]) -> None:
    draw = np.random.default_rng(0)
    rows = [(item, vector(group, draw)) for group in range(GROUPS) for item in items_of(group)] + list(more)
    pq.write_table(pa.table({"item_id": [r[0] for r in rows], "cover": [r[1] for r in rows]}), folder / "items.parquet")


def write_tables(folder: Path) -> None:
    write_items(folder)
    draw, numbers = random.Random(0), np.random.default_rng(1)
    users = [(f"u{n}", n % GROUPS) for n in range(GROUPS * USERS_A_GROUP)]
    events = []
    for user, group in users:
        warm = draw.sample(items_of(group)[:WARM], 9)
        # Ten events, one of them the test: a cold item of the own group.
        chosen = [*warm, draw.choice(items_of(group)[WARM:])]
        events += [(user, item, 1_700_000_000 + 3600 * step) for step, item in enumerate(chosen)]
    columns = zip(("user_id", "item_id", "timestamp"), zip(*events, strict=True), strict=True)
    pq.write_table(pa.table({name: list(values) for name, values in columns}), folder / "interactions.parquet")
    tastes = pa.table({"user_id": [u for u, _ in users], "taste": [vector(g, numbers) for _, g in users]})
    pq.write_table(tastes, folder / "users.parquet")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    folder = tmp_path_factory.mktemp("cold")
    write_tables(folder)
    stack = parse_config(_CONFIG.format(folder=folder, length=LENGTH))
    prepare(stack)
    train(stack, "retrieval")
    evaluate(stack, "retrieval")
    export(stack)
    return stack


def retrieve(stack: StackConfig, user: str, history: list[str], taste: list[float]) -> list[str]:
    strings = ("exclude_item_ids", "allow_item_ids")
    found = load(stack, "retrieval_exact").signatures["retrieve"](
        user_id=tf.constant([user]),
        history=tf.constant([history or [""]]),
        taste=tf.constant([taste], tf.float32),
        k=tf.constant(WARM + COLD),
        **{name: tf.constant([[""]]) for name in strings},
    )
    return [item.decode() for item in found["item_ids"].numpy()[0]]


def recommend(stack: StackConfig, history: list[str], share: float) -> tuple[list[str], list[bool]]:
    """The first `COLD` places of a stranger's list, and which of them were explored."""
    answer = load(stack, "recommender").signatures["serving_default"]
    lists = ("exclude_item_ids", "allow_item_ids", "shown_item_ids")
    found = answer(
        user_id=tf.constant([STRANGER]),
        history=tf.constant([history]),
        taste=tf.constant([[float("nan")] * LENGTH], tf.float32),
        limit=tf.constant(COLD),
        exclude_seen=tf.constant(True),
        diversity=tf.constant([float("nan")]),
        new_item_share=tf.constant([share], tf.float32),
        **{name: tf.constant([[""]]) for name in lists},
    )
    return [item.decode() for item in found["item_ids"].numpy()[0]], found["is_explored"].numpy()[0].tolist()


def cold_recall(evaluation: Any) -> dict[str, float]:
    return evaluation["slices"]["item: cold"]["metrics"]["recall@10"]


@pytest.mark.slow
def test_the_cold_slice_shows_what_the_vectors_know(stack: StackConfig) -> None:
    result = json.loads(stack.layout.current_run.stage("retrieval").metrics.read_text())
    cold = result["model"]["slices"]["item: cold"]
    assert cold["num_targets"] == GROUPS * USERS_A_GROUP
    # Of the own group's 14 items the user has seen 9, so the other 5 have room among ten.
    assert cold_recall(result["model"])["low"] > 0.9
    assert cold_recall(result["baselines"]["item_cf"])["high"] < 0.2


@pytest.mark.slow
def test_neighbours_find_cold_items_where_no_ids_were_hidden(stack: StackConfig) -> None:
    by_neighbours = replace(stack, retrieval=replace(stack.retrieval, id_dropout=0.0, new_item_neighbours=6))
    run = RunLayout(train(by_neighbours, "retrieval", current=False).directory.parent)
    evaluate(by_neighbours, "retrieval")
    assert cold_recall(json.loads(run.stage("retrieval").metrics.read_text())["model"])["low"] > 0.9


@pytest.mark.slow
def test_the_saved_model_embeds_items_as_the_trainer_does(stack: StackConfig) -> None:
    trained = restore(stage_context(stack), RetrievalStage(config=stack.retrieval))
    table = pq.read_table(stack.pipeline.items.path)
    vectors = {row["item_id"]: row["cover"] for row in table.to_pylist()}
    ids = trained.candidates.item_ids
    covers = [vectors[item.decode()] for item in ids.numpy()]
    found = load(stack, "retrieval_exact").signatures["embed_item"](item_id=ids, cover=tf.constant(covers, tf.float32))
    expected = trained.model.embed_candidates(trained.candidates)
    np.testing.assert_allclose(found["embedding"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_stranger_is_answered_by_the_vector_of_the_request(stack: StackConfig) -> None:
    for group in range(GROUPS):
        found = retrieve(stack, STRANGER, [], list(np.eye(LENGTH)[group]))
        assert sorted(found) == sorted(items_of(group))


@pytest.mark.slow
def test_a_new_item_of_a_refreshed_catalogue_is_found_by_its_vector(stack: StackConfig) -> None:
    folder = stack.workdir.parent
    write_items(folder, ("fresh", [0.0, 7.0, *[0.0] * (LENGTH - 2)]), ("without a cover", []))
    (published,) = export(stack, refresh_index=True)
    assert published.version == 2
    nothing = [float("nan")] * LENGTH
    assert "fresh" in retrieve(stack, STRANGER, items_of(1)[:5], nothing)
    assert "fresh" not in retrieve(stack, STRANGER, items_of(2)[:5], nothing)


@pytest.mark.slow
def test_a_request_with_a_vector_of_another_length_is_refused(stack: StackConfig) -> None:
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError, ValueError)):
        retrieve(stack, "u0", [], [1.0, 2.0])


@pytest.fixture(scope="module")
def ranked(stack: StackConfig) -> StackConfig:
    """With a ranking model, and so with a cascade."""
    both = replace(stack, ranking=replace(stack.ranking, epochs=1))
    train(both, "ranking")
    with_both = replace(both, export=replace(both.export, models=("ranking", "recommender")))
    export(with_both)
    return with_both


@pytest.mark.slow
def test_the_evaluation_shows_what_places_for_new_items_bring(stack: StackConfig) -> None:
    content = json.loads(stack.layout.current_run.stage("retrieval").metrics.read_text())
    none, *more = content["new_items"]
    assert none["ndcg"] == pytest.approx(content["model"]["metrics"]["ndcg@10"]["value"])
    assert none["cold_recall"] == pytest.approx(cold_recall(content["model"])["value"])
    # The two cold items of the own group come first among the new ones.
    assert {row["places"]: row["cold_recall"] for row in more}[2.0] == pytest.approx(1.0, abs=0.02)


@pytest.mark.slow
def test_new_items_get_their_share_of_the_cascades_places_where_it_would_not_show_them(ranked: StackConfig) -> None:
    for group in range(GROUPS):
        history = items_of(group)[:3]
        plain, is_explored = recommend(ranked, history, 0.0)
        assert not any(is_explored)
        assert recommend(ranked, history, float("nan")) == (plain, is_explored)
        served, is_explored = recommend(ranked, history, 1.0)
        assert sorted(served) == sorted(items_of(group)[WARM:])
        assert is_explored == [item not in plain for item in served]


@pytest.mark.slow
def test_ranking_takes_vectors_too(ranked: StackConfig) -> None:
    answer = load(ranked, "ranking").signatures["serving_default"](
        user_id=tf.constant(["u0"]),
        history=tf.constant([[""]]),
        taste=tf.constant([[float("nan")] * LENGTH]),
        item_ids=tf.constant([["0-0", "not in the catalogue", ""]]),
    )
    assert np.isfinite(answer["label"]).all()
