"""A dataset in numbers, on the checkerboard: each user takes the items of its kind, item i on day i."""

from pathlib import Path

import pyarrow.compute as pc
import pytest

from beam_pipelines.config import PipelineConfig, SplitConfig, TableSource
from beam_pipelines.prepare import prepare_dataset
from beam_pipelines.profile.dataset_profile import DatasetProfile, read_values
from features.disk.layout import DatasetLayout
from features.schema import Schema
from tests.beam_pipelines.conftest import Prepared, prepare, write_parquet
from tests.checkerboard import likings

_DAY, _SIZE = 86_400, 8


def rows() -> list[dict]:
    return [
        {
            "user_id": f"u{u}",
            "item_id": f"i{i}",
            "timestamp": _DAY * i,
            "device": "phone" if i < 7 else "watch",
            "price": None if i % 2 else float(i),
        }
        for u, i in likings(_SIZE, _SIZE)
    ]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, plain_schema: Schema) -> Prepared:
    """Days 0 to 5 are train, day 6 validation, day 7 test; one row is refused."""
    items = [{"item_id": f"i{i}", "brand": "even" if i % 2 == 0 else ""} for i in range(_SIZE + 1)]
    bad = {"user_id": "u0", "item_id": "<b>", "timestamp": -1, "device": "", "price": None}
    return prepare(
        tmp_path_factory.mktemp("profile"),
        plain_schema,
        interactions=[*rows(), bad],
        items=items,
        split=SplitConfig(validation=0.125, test=0.125),
        num_shards=2,
        report=True,
    )


@pytest.fixture(scope="module")
def profile(prepared: Prepared) -> DatasetProfile:
    return DatasetProfile.read(prepared.dataset.profile)


def test_splits_are_counted_and_placed_in_time(profile: DatasetProfile) -> None:
    found = {name: (s.events, s.positives, s.users, s.first, s.last) for name, s in profile.splits.items()}
    assert found == {
        "train": (24, 24, 8, 0, 5 * _DAY),
        "validation": (4, 4, 4, 6 * _DAY, 6 * _DAY),
        "test": (4, 4, 4, 7 * _DAY, 7 * _DAY),
    }
    assert sum(profile.splits["train"].times.counts) == 24


def test_histories_are_what_was_before_each_target(profile: DatasetProfile) -> None:
    # Each user has three training events with 0, 1 and 2 before them, and one more with three before it.
    assert profile.splits["train"].histories == (8, 8, 8)
    assert profile.splits["test"].histories == (0, 0, 0, 4)
    assert profile.users == (0, 0, 0, 8)  # all have four, the bucket of 3 and 4


def test_missing_values_and_numbers_are_those_of_all_splits(profile: DatasetProfile) -> None:
    features = profile.features
    assert (features["price"].rows, features["price"].missing) == (32, 16)
    assert (features["brand"].rows, features["brand"].missing, features["brand"].owner) == (9, 4, "item")
    assert features["device"].missing == 0
    # Four events each at 0, 2, 4 and 6.
    assert sorted(set(features["price"].quantiles)) == [0, 2, 4, 6]
    assert features["price"].quantiles.count(2.0) == pytest.approx(len(features["price"].quantiles) / 4)


def test_each_value_is_counted_by_split(prepared: Prepared) -> None:
    values = read_values(prepared.dataset)
    found = {(row["feature"], row["value"]): row for row in values.to_pylist()}
    device = found["device", "watch"]
    assert [device[name] for name in ("events", "positives", "validation", "test")] == [0, 0, 0, 4]
    assert (found["item_id", "i0"]["events"], found["item_id", "i6"]["validation"]) == (4, 4)
    assert found["item_id", "i8"]["events"] == 0  # only in the items table
    assert found["user_id", "u0"]["events"] == 3
    assert found["brand", "even"]["events"] == 5
    assert pc.sum(values.filter(pc.equal(values.column("feature"), "user_id")).column("test")).as_py() == 4


def test_the_report_says_all_of_it_in_one_file(prepared: Prepared) -> None:
    page = prepared.dataset.report.read_text()
    assert page.count("<svg") == 6
    assert "http-equiv" not in page
    assert not any(f'{attribute}="http' in page for attribute in ("src", "href"))
    assert "timestamp is not between the years 1970 and 2099" in page
    assert "price is missing" not in page  # half is not most
    assert "No row was refused" not in page
    assert "The vocabulary of device knows only 0% of the test events." in page


@pytest.mark.slow
def test_the_same_dataset_gives_the_same_report_and_none_where_none_is_wanted(tmp_path: Path, ids_only: Schema) -> None:
    source = TableSource(path=str(write_parquet(tmp_path / "events.parquet", rows())))
    pages = []
    for name, report in (("a", True), ("b", True), ("c", False)):
        layout = DatasetLayout(tmp_path / name)
        prepare_dataset(ids_only, PipelineConfig(interactions=source, report=report, num_shards=1), layout, seed=1)
        pages.append(layout.report.read_text() if layout.report.exists() else None)
    assert pages[0] is not None
    assert pages[0] == pages[1]
    assert pages[2] is None
