"""New items that sell lately reach the lists where the list ranker has candidates that are kept for them.

Customers of two groups buy what their group buys. Every ten days an item of each group appears that half of the group
buys, and with it others that look the same and that nobody ever buys: no vector tells them apart, but yesterday's sales
do.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from features.disk.layout import SPLITS
from recstack.config import StackConfig, parse_config
from recstack.stages import evaluate, export, prepare, stage_context, train
from tests.trainer.export.loading import load
from trainer.cascade.lists import CandidateLists
from trainer.config.evaluation import COLD_ITEMS
from trainer.evaluation.cascade import first_stage, lists_behind, orders_of
from trainer.evaluation.new_items import ranked_first, with_places
from trainer.evaluation.queries import JudgedSplit
from trainer.evaluation.retrieval import load_data
from trainer.metrics.protocol import Int
from trainer.restore import Trained, restore
from trainer.stage import stages_of

GROUPS, USERS, WARM, DULL = ("red", "blue"), 60, 12, 4
# A novelty comes in the middle of each tenth of the time: what sells when validation or test begins came before.
DAY, DAYS, EVERY, FIRST = 86_400, 100, 10, 5
START = 20_000 * DAY
CUTOFF = 4
pytestmark = pytest.mark.slow

_CONFIG = """
workdir = "{folder}/work"

[[features.query]]
kind = "history"
length = 20

[[features.candidate]]
kind = "id"
name = "item_id"

[[features.candidate]]
kind = "text"
name = "title"
num_buckets = 64

[pipeline]
num_shards = 1

[pipeline.interactions]
path = "{folder}/interactions.parquet"

[pipeline.items]
path = "{folder}/items.parquet"

[pipeline.split]
kind = "global_time"
validation = 0.1
test = 0.1

[retrieval]
dimension = 8
id_dropout = 0.3
batch_size = 64
epochs = 15

[retrieval.optimizer]
learning_rate = 0.01

[list_ranking]
enabled = true
fold_kind = "global_time"
gap = 0.1
window = 0.1
folds = 3
refresh_days = 1
candidates = 20
new_item_candidates = 0.3
history = 20
members = 1
hidden = [16]
batch_size = 16
epochs = 12

[index]
kind = "exact"
tuned_k = 5

[evaluation]
cutoffs = [{cutoff}]
targets = "next"
resamples = 100

[export]
models = ["recommender"]
"""


def warm(group: str) -> list[str]:
    return [f"{group}-{n}" for n in range(WARM)]


def hot(group: str, day: int) -> str:
    return f"{group}-new-{(day - FIRST) // EVERY}"


def write_tables(folder: Path) -> None:
    draw = np.random.default_rng(0)
    items = [(item, f"{group} thing") for group in GROUPS for item in warm(group)]
    for day in range(FIRST, DAYS, EVERY):
        for group in GROUPS:
            dull = [f"{group}-dull-{day}-{n}" for n in range(DULL)]
            items += [(item, f"{group} novelty") for item in (hot(group, day), *dull)]
    events = []
    for user in range(USERS):
        group, had = GROUPS[user % 2], set[str]()
        for day in range(user % 4, DAYS, 4):
            wanted = day >= FIRST and hot(group, day) not in had and draw.random() < 0.5
            item = hot(group, day) if wanted else str(draw.choice(warm(group)))
            had.add(item)
            events.append((f"u{user}", item, START + day * DAY + int(draw.integers(DAY))))
    names = ("user_id", "item_id", "timestamp")
    columns = {name: list(values) for name, values in zip(names, zip(*events, strict=True), strict=True)}
    pq.write_table(pa.table(columns), folder / "interactions.parquet")
    write_items(folder, items)


def write_items(folder: Path, items: list[tuple[str, str]]) -> None:
    pq.write_table(
        pa.table({"item_id": [i for i, _ in items], "title": [t for _, t in items]}), folder / "items.parquet"
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    folder = tmp_path_factory.mktemp("kept")
    write_tables(folder)
    stack = parse_config(_CONFIG.format(folder=folder, cutoff=CUTOFF))
    prepare(stack)
    for name in ("retrieval", "list_ranking"):
        train(stack, name)
    return stack


def judged_of(stack: StackConfig) -> dict[str, Any]:
    return evaluate(stack, "list_ranking").content


def cold_recall(content: dict[str, Any]) -> dict[str, float]:
    """Of the list ranker's order, whichever is served."""
    return content["baselines"]["list_ranker"]["slices"][COLD_ITEMS]["metrics"][f"recall@{CUTOFF}"]


def test_novelties_are_found_by_the_candidates_that_are_kept_for_them(kept: StackConfig) -> None:
    content = judged_of(kept)
    assert content["ranks"], content["reason"]
    assert cold_recall(content)["low"] > 0.8
    context, stage = stage_context(kept), stages_of(kept)["list_ranking"]
    ranker = restore(context, stage)
    judged = load_data(ranker, context.dataset, kept.evaluation).judged
    first = first_stage(ranker, context, stage, known=("train", "validation"))
    lists, without = (lists_behind(ranker, judged, stage, each) for each in (first, replace(first, new_candidates=0)))
    # Retrieval cannot tell them from those that nobody buys; the places that are kept bring all of them.
    found = novelties(ranker, lists, judged)
    assert found > 0.9
    assert novelties(ranker, without, judged) < found - 0.3
    assert not without.is_reserved.any()


def novelties(ranker: Trained[Any], lists: CandidateLists, judged: JudgedSplit) -> float:
    """Share of the targets without training events that are candidates."""
    first_index = ranker.encoder.lookup("item_id").vocabulary.first_token_index
    is_new, targets = ranker.candidates.without_events("item_id", first_index), judged.queries.targets.values
    return float((lists.labels * is_new[lists.rows]).sum() / is_new[targets].sum())


def test_the_table_of_places_has_intervals(kept: StackConfig) -> None:
    none, *_ = judged_of(kept)["new_items"]
    low, high = none["cold_recall_interval"]
    assert low <= none["cold_recall"] <= high
    assert none["cold_recall"] == cold_recall(judged_of(kept))["value"]


def test_the_saved_model_answers_as_the_evaluation_does(kept: StackConfig) -> None:
    export(kept)
    context, stage = stage_context(kept), stages_of(kept)["list_ranking"]
    ranker = restore(context, stage)
    judged = load_data(ranker, context.dataset, kept.evaluation).judged
    # The SavedModel counts once, over all events that there are.
    first = replace(first_stage(ranker, context, stage, known=SPLITS), refreshed=None)
    lists = lists_behind(ranker, judged, stage, first)
    assert lists.is_reserved.any()
    ids = ranker.candidates.item_ids.numpy()
    histories = [
        [ids[row].decode() for row in judged.queries.history.slice(n, n + 1).values]
        for n in range(len(judged.asked_at))
    ]
    expected = [named(ids[row] for row in rows[:CUTOFF]) for rows in orders_of(ranker, lists).list_ranker]
    assert_alike(recommend(kept, histories), expected)
    assert any("new" in item for items in expected for item in items)
    check_places(kept, histories, ranker, orders_of(ranker, lists).list_ranker)
    # An item that came since, and that nobody has bought yet, changes no list.
    table = pq.read_table(kept.pipeline.items.path).to_pylist()
    write_items(
        kept.workdir.parent, [(row["item_id"], row["title"]) for row in table] + [("red-dull-fresh", "red novelty")]
    )
    (published,) = export(kept, refresh_index=True)
    assert published.version == 2
    assert_alike(recommend(kept, histories), expected)


def assert_alike(found: list[list[str]], expected: list[list[str]]) -> None:
    """The same lists, but for neighbours whose scores differ by less than the sums in another order do."""
    places = [
        (ours, theirs) for lists in zip(found, expected, strict=True) for ours, theirs in zip(*lists, strict=True)
    ]
    assert sum(ours != theirs for ours, theirs in places) <= 0.05 * len(places), places


def check_places(stack: StackConfig, histories: list[list[str]], ranker: Trained[Any], ranked: Int) -> None:
    """Half of the places: more candidates are kept than that, so retrieval chooses none of the new items."""
    is_new = ranker.candidates.without_events("item_id", ranker.encoder.lookup("item_id").vocabulary.first_token_index)
    new_rows = ranked_first(ranked, is_new, np.full([len(ranked), 1], -1))
    rows, ids = with_places(ranked[:, :CUTOFF], new_rows, is_new, CUTOFF // 2), ranker.candidates.item_ids.numpy()
    expected = [named(ids[row] for row in of_query) for of_query in rows]
    assert_alike(recommend(stack, histories, new_item_share=0.5), expected)
    assert (is_new[rows].sum(axis=1) >= CUTOFF // 2).all()
    assert (rows != ranked[:, :CUTOFF]).any()


def recommend(stack: StackConfig, histories: list[list[str]], new_item_share: float = 0.0) -> list[list[str]]:
    width = max(map(len, histories))
    signature = load(stack, "recommender").signatures["serving_default"]
    sent = {
        "history": tf.constant([history + [""] * (width - len(history)) for history in histories]),
        "limit": tf.constant(CUTOFF),
        "exclude_seen": tf.constant(True),
        "new_item_share": tf.constant([new_item_share]),
    }
    defaults = {
        alias: tf.constant([[""]]) if spec.dtype == tf.string else tf.constant([np.nan])
        for alias, spec in signature.structured_input_signature[1].items()
        if alias not in sent
    }
    return [named(row) for row in signature(**defaults | sent)["item_ids"].numpy()]


def named(items: Iterable[bytes]) -> list[str]:
    """Those that nobody buys are the same to the models: only the group is told."""
    return [re.sub("-dull.*", "", item.decode()) for item in items]
