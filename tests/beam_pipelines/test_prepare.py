"""The whole job on small tables with known answers."""

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pipelines.config import (
    LabelConfig,
    NegativesConfig,
    PipelineConfig,
    SplitConfig,
    TableSource,
)
from beam_pipelines.prepare import prepare_dataset
from beam_pipelines.profile.dataset_profile import DatasetProfile
from features.disk.layout import SPLITS, DatasetLayout
from features.encoding.statistics import Statistics
from features.errors import ConfigError, InputError
from features.schema import Schema
from features.spec.tasks import Task
from tests.beam_pipelines.conftest import Prepared, Rows, events_of, prepare, write_parquet
from tests.checkerboard import liked_by, likings

_SIZE = 8
_DAY = 86_400


def checkerboard() -> Rows:
    """Each user takes the items of its kind, item i on day i."""
    return [
        {"user_id": u, "item_id": f"i{i}", "timestamp": _DAY * i + u, "device": f"d{u % 2}", "price": float(i)}
        for u, i in likings(_SIZE, _SIZE)
    ]


def items() -> Rows:
    return [{"item_id": f"i{i}", "brand": "even" if i % 2 == 0 else "odd"} for i in range(_SIZE)] + [
        {"item_id": "new", "brand": "unseen"}
    ]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, plain_schema: Schema) -> Prepared:
    """A global split of the checkerboard: days 0 to 5 train, day 6 validation, day 7 test."""
    return prepare(
        tmp_path_factory.mktemp("checkerboard"),
        plain_schema,
        interactions=checkerboard(),
        items=items(),
        split=SplitConfig(validation=0.125, test=0.125),
        num_shards=2,
    )


def test_each_event_is_a_target_of_its_split_once(prepared: Prepared, plain_schema: Schema) -> None:
    for split, days in zip(SPLITS, ({0, 1, 2, 3, 4, 5}, {6}, {7}), strict=True):
        found = [e for r in prepared.retrieval()[split] for e in events_of(r, plain_schema, targets=True)]
        expected = [
            (str(row["user_id"]), row["item_id"], row["timestamp"])
            for row in checkerboard()
            if row["timestamp"] // _DAY in days
        ]
        assert sorted(found) == sorted(expected)


def test_contexts_hold_what_the_user_did_before(prepared: Prepared, plain_schema: Schema) -> None:
    records = prepared.retrieval()
    assert all(events_of(r, plain_schema, targets=False) == [] for r in records["train"])
    for split, last_day in (("validation", 5), ("test", 6)):
        for record in records[split]:
            user = int(record["user_id"][0])
            expected = [f"i{i}" for i in liked_by(user, last_day + 1)]
            assert [item for _, item, _ in events_of(record, plain_schema, targets=False)] == expected


def test_records_carry_features_labels_and_weights(prepared: Prepared) -> None:
    for record in prepared.retrieval()["train"]:
        user = int(record["user_id"][0])
        size = len(record["item_id"])
        assert record["device"] == [f"d{user % 2}"] * size
        assert record["price"] == [float(item[1:]) for item in record["item_id"]]
        assert record["label"] == record["weight"] == [1.0] * size
        assert record["in_history"] == [1] * size
        assert "sampling_probability" not in record


def test_ranking_records_add_negatives_the_user_has_nothing_to_do_with(prepared: Prepared) -> None:
    likes = {(str(row["user_id"]), row["item_id"]) for row in checkerboard()}
    for split, records in prepared.ranking().items():
        for record in records:
            user, [cut] = record["user_id"][0], record["num_context"]
            pairs = Counter(record["label"][cut:])
            # Six items have training events; the user's three, and on the last days one or two more, are left out.
            assert pairs[0.0] == 4 * pairs[1.0]
            for item, label, history, probability, second in zip(
                *(record[name] for name in ("item_id", "label", "in_history", "sampling_probability", "timestamp")),
                strict=True,
            ):
                assert ((user, item) in likes) == (label == history == 1)
                assert probability == pytest.approx(1.0 if label else 1 / 3)
                assert (second - int(user)) % _DAY == 0
            keys = list(zip(record["timestamp"], record["item_id"], strict=True))
            assert keys == sorted(keys), split


def test_vocabularies_hold_training_values_only(prepared: Prepared) -> None:
    # Four users an item and three items a user: all counts are equal, so code point order decides.
    assert prepared.tokens("item_id") == [f"i{i}" for i in range(6)]
    assert prepared.tokens("user_id") == [str(u) for u in range(_SIZE)]
    assert prepared.tokens("device") == ["d0", "d1"]
    assert prepared.tokens("brand") == ["even", "odd"]


def test_candidates_are_the_catalogue_with_training_frequencies(prepared: Prepared) -> None:
    found = [(r["item_id"][0], r["brand"][0], r["train_frequency"][0]) for r in prepared.candidates()]
    brands = {row["item_id"]: row["brand"] for row in items()}
    expected = [(f"i{i}", 4 if i < 6 else 0) for i in range(_SIZE)] + [("new", 0)]
    assert found == [(item, brands[item], frequency) for item, frequency in expected]


def test_statistics_are_those_of_the_training_events(prepared: Prepared) -> None:
    found = Statistics.read(prepared.dataset.statistics)
    assert (found.num_users, found.num_items, found.num_interactions) == (_SIZE, 9, 24)
    price = found.numeric["price"]
    # Days 0 to 5, equally often.
    assert (price.count, price.minimum, price.maximum, price.mean) == (24, 0, 5, pytest.approx(2.5))
    assert price.std == pytest.approx(math.sqrt(sum((day - 2.5) ** 2 for day in range(6)) / 6))


def test_the_manifest_counts_what_happened(prepared: Prepared) -> None:
    counts = prepared.manifest.counts
    assert counts["interactions_read"] == counts["events_train"] + counts["events_validation"] + counts["events_test"]
    assert (counts["events_train"], counts["events_validation"], counts["events_test"]) == (24, 4, 4)
    assert (counts["interactions_rejected"], counts["interactions_duplicates"]) == (0, 0)
    assert (counts["users_train"], counts["users_test"], counts["candidates"]) == (8, 4, 9)
    assert counts["shards"] == 2
    schema = json.loads(prepared.dataset.schema.read_text())
    assert schema["item_id"] == "item_id"


def test_the_intermediate_files_are_gone(prepared: Prepared) -> None:
    names = {path.name for path in prepared.dataset.root.iterdir()}
    expected = {"manifest.json", "schema.json", "statistics.json", "candidates", "ranking", "rejects", "vocabulary"}
    expected |= {"profile.json", "values.parquet"}
    assert names == expected | set(SPLITS)
    assert [path.name for path in prepared.dataset.root.parent.iterdir() if path.name.startswith(".")] == []


def test_running_it_again_does_nothing(prepared: Prepared, plain_schema: Schema) -> None:
    root = prepared.dataset.root
    config = PipelineConfig(
        interactions=TableSource(path=str(root.parent / "interactions.parquet")),
        items=TableSource(path=str(root.parent / "items.parquet")),
        split=SplitConfig(validation=0.125, test=0.125),
        num_shards=2,
        report=False,
    )
    before = prepared.dataset.manifest.stat().st_mtime_ns
    result = prepare_dataset(plain_schema, config, prepared.dataset, seed=1)
    assert result.nothing_to_do
    assert result.manifest == prepared.manifest
    assert prepared.dataset.manifest.stat().st_mtime_ns == before


def test_equal_inputs_and_seed_give_equal_bytes_and_another_seed_other_negatives(
    prepared: Prepared, plain_schema: Schema, tmp_path: Path
) -> None:
    # Rows in another order and in other files are the same input.
    rows = checkerboard()[::-1]
    (tmp_path / "logs").mkdir()
    write_parquet(tmp_path / "logs" / "a.parquet", rows[:5])
    write_parquet(tmp_path / "logs" / "b.parquet", rows[5:])
    settings = {
        "interactions": [],
        "items": items(),
        "split": SplitConfig(validation=0.125, test=0.125),
        "num_shards": 2,
    }
    source = TableSource(path=f"{tmp_path}/logs/*.parquet")
    for seed, equal in ((1, True), (2, False)):
        config = PipelineConfig(
            report=False,
            interactions=source,
            items=TableSource(path=str(write_parquet(tmp_path / "items.parquet", items()))),
            split=settings["split"],
            num_shards=2,
        )
        dataset = DatasetLayout(tmp_path / f"seed-{seed}")
        manifest = prepare_dataset(plain_schema, config, dataset, seed=seed).manifest
        other = Prepared(manifest, False, dataset).digests()
        mine = prepared.digests()
        assert {name for name in mine if not name.startswith("ranking")} <= {
            name for name, data in other.items() if mine.get(name) == data
        }
        assert (other == mine) == equal


def test_bad_rows_are_put_aside_and_counted(tmp_path: Path, ids_only: Schema) -> None:
    rows = [{"user_id": str(n % 3), "item_id": f"i{n}", "timestamp": n} for n in range(20)]
    rows += [
        rows[0],
        {"user_id": None, "item_id": "x", "timestamp": 1},
        {"user_id": "1", "item_id": "x", "timestamp": -5},
    ]
    found = prepare(tmp_path, ids_only, interactions=rows, max_reject_ratio=0.1)
    counts = found.manifest.counts
    assert (counts["interactions_read"], counts["interactions_rejected"], counts["interactions_duplicates"]) == (
        23,
        2,
        1,
    )
    assert counts["rejected: interactions: user_id is missing"] == 1
    rejects = pq.read_table(found.dataset.rejects).to_pylist()
    assert [(r["row"], r["reason"], Path(r["file"]).name) for r in rejects] == [
        (22, "user_id is missing", "interactions.parquet"),
        (23, "timestamp is not between the years 1970 and 2099", "interactions.parquet"),
    ]


def test_too_many_bad_rows_end_the_run_and_leave_nothing(tmp_path: Path, ids_only: Schema) -> None:
    rows = [{"user_id": "u", "item_id": "i", "timestamp": n * 1000} for n in range(3, 9)]
    rows += [{"user_id": None, "item_id": "i", "timestamp": 1}]
    with pytest.raises(
        InputError, match=r"1 of 7 rows are rejected, .*max_reject_ratio = 0\.05: user_id is missing .1 row"
    ):
        prepare(tmp_path, ids_only, interactions=rows)
    assert [path.name for path in tmp_path.iterdir()] == ["interactions.parquet"]


@pytest.mark.parametrize("name", ["empty.csv", "empty.parquet"])
def test_a_table_without_rows_ends_the_run(tmp_path: Path, ids_only: Schema, name: str) -> None:
    path = tmp_path / name
    if name == "empty.csv":
        path.write_text("user_id,item_id,timestamp\n")
    else:
        kinds = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())])
        pq.write_table(kinds.empty_table(), path)
    config = PipelineConfig(interactions=TableSource(path=str(path)))
    with pytest.raises(InputError, match="table interactions: the files hold no rows"):
        prepare_dataset(ids_only, config, DatasetLayout(tmp_path / "dataset"), seed=1)
    assert [found.name for found in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_no_dataset_is_not_replaced(tmp_path: Path, ids_only: Schema, kind: str) -> None:
    thesis = tmp_path / "dataset" if kind == "file" else tmp_path / "dataset" / "thesis.txt"
    thesis.parent.mkdir(exist_ok=True)
    thesis.write_text("years of work")
    with pytest.raises(InputError, match=r"/dataset: is in the way .*`workdir`"):
        prepare(tmp_path, ids_only, interactions=[{"user_id": "u", "item_id": "i", "timestamp": 1}])
    assert thesis.read_text() == "years of work"


@pytest.mark.slow
def test_a_damaged_dataset_is_replaced(tmp_path: Path, ids_only: Schema) -> None:
    rows = [{"user_id": "u", "item_id": "i", "timestamp": 1}]
    layout = prepare(tmp_path, ids_only, interactions=rows).dataset
    layout.manifest.unlink()
    assert prepare(tmp_path, ids_only, interactions=rows).dataset.manifest.exists()


def test_features_without_their_table_are_refused(tmp_path: Path, plain_schema: Schema) -> None:
    with pytest.raises(InputError, match=r"pipeline\.items\.path = '': expected the items table, from which brand"):
        prepare(tmp_path, plain_schema, interactions=checkerboard())


@pytest.mark.slow
def test_new_data_in_the_same_place_appends_to_the_vocabularies(tmp_path: Path, ids_only: Schema) -> None:
    everything = SplitConfig(validation=0.0, test=0.0)
    first = [{"user_id": "u", "item_id": item, "timestamp": n} for n, item in enumerate("ccba")]
    prepare(tmp_path, ids_only, interactions=first, split=everything)
    second = [{"user_id": "v", "item_id": item, "timestamp": n} for n, item in enumerate("ddda")]
    grown = prepare(tmp_path, ids_only, interactions=second, split=everything)
    assert grown.tokens("item_id") == ["c", "a", "b", "d"]
    assert grown.tokens("user_id") == ["u", "v"]
    # Items that are gone keep their embedding, but are no candidates.
    assert [r["item_id"][0] for r in grown.candidates()] == ["a", "d"]


def test_impressions_are_negatives_outside_of_histories(tmp_path: Path, ids_only: Schema) -> None:
    kinds = ["click", "seen", "click", "seen", "click"]
    rows = [{"user_id": "u", "item_id": f"i{n}", "timestamp": n, "kind": kind} for n, kind in enumerate(kinds)]
    label = LabelConfig(event_type_column="kind", event_weights={"seen": 0.0, "click": 2.0})
    split = SplitConfig(kind="leave_last_out")
    found = prepare(tmp_path, ids_only, interactions=rows, label=label, split=split)
    [train], [test] = found.ranking()["train"], found.ranking()["test"]
    assert (train["item_id"], train["label"], train["in_history"]) == (["i0", "i1"], [1, 0], [1, 0])
    assert train["weight"] == [2, 1]
    # The context of the test has the clicks before it and no impression.
    assert (test["item_id"], test["num_context"], test["label"]) == (["i0", "i2", "i4"], [2], [1, 1, 1])
    assert [r["item_id"] for r in found.retrieval()["train"]] == [["i0"]]
    # Nothing is sampled for retrieval, so its records say nothing of it.
    assert "sampling_probability" in train
    assert not any("sampling_probability" in record for record in found.retrieval()["train"])


def test_each_task_has_its_labels_in_the_records(tmp_path: Path, ids_only: Schema) -> None:
    stars = {("u", "a"): 5.0, ("u", "b"): 1.0, ("v", "c"): 4.0}
    rows = [{"user_id": u, "item_id": i, "timestamp": 1, "stars": s} for (u, i), s in stars.items()]
    schema = replace(ids_only, task=(Task(name="liked", threshold=4.0), Task(name="rating", type="regression")))
    everything, label = SplitConfig(validation=0.0, test=0.0), LabelConfig(rating_column="stars")
    sampled = NegativesConfig(kind="uniform", per_positive=1)
    found = prepare(tmp_path, schema, interactions=rows, label=label, split=everything, negatives=sampled)
    seen = set()
    for record in found.ranking()["train"]:
        assert "label" not in record
        for item, liked, rating in zip(record["item_id"], record["liked"], record["rating"], strict=True):
            given = stars.get((record["user_id"][0], item))
            # A sampled negative is not liked, and nobody knows how it would be rated.
            assert liked == (given is not None and given >= 4.0)
            assert math.isnan(rating) if given is None else rating == given
            seen.add(given)
    assert seen == {5.0, 1.0, 4.0, None}
    profile = DatasetProfile.read(found.dataset.profile).features
    assert (profile["liked"].missing, profile["rating"].quantiles[-1]) == (0, 5.0)


@pytest.mark.parametrize(
    ("task", "field"),
    [
        (Task(name="liked", threshold=4.0), "pipeline.label.rating_column"),
        (Task(name="rating", type="regression"), "pipeline.label.rating_column"),
        (Task(name="bought", event_types=("buy",)), "features.task.bought.event_types"),
    ],
)
def test_task_that_the_log_cannot_label_is_refused(tmp_path: Path, ids_only: Schema, task: Task, field: str) -> None:
    rows = [{"user_id": "u", "item_id": "i", "timestamp": 1}]
    with pytest.raises(ConfigError, match=field.replace(".", r"\.")):
        prepare(tmp_path, replace(ids_only, task=(task,)), interactions=rows)
