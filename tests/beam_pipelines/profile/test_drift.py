"""Differences from the former dataset: measured by the formula, recorded, and beyond a limit the end of the run."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.config import DriftConfig, PipelineConfig, TableSource
from beam_pipelines.prepare import prepare_dataset
from beam_pipelines.profile.drift import HISTORY, stability_index
from features.disk.layout import DatasetLayout
from features.errors import RecstackError
from features.schema import Schema
from features.spec.categorical import CategoricalFeature
from features.spec.ids import IdFeature
from features.spec.multi_valued import MultiValuedFeature
from features.spec.text import TextFeature
from tests.beam_pipelines.conftest import Prepared, Rows, prepare

_COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=8)


def test_the_index_is_the_published_formula() -> None:
    expected = (0.7 - 0.5) * math.log(0.7 / 0.5) + (0.3 - 0.5) * math.log(0.3 / 0.5)
    assert stability_index([500_000, 500_000], [700_000, 300_000]) == pytest.approx(expected, rel=1e-4)


@given(_COUNTS, st.integers(1, 1000))
def test_the_index_is_nothing_for_the_same_and_alike_both_ways(counts: list[int], other: int) -> None:
    changed = [counts[0] + other, *counts[1:]]
    assert stability_index(counts, counts) == 0
    assert stability_index(counts, changed) >= 0
    assert stability_index(counts, changed) == pytest.approx(stability_index(changed, counts))


def rows(*, watches: int = 0, factor: float = 1.0, users: range = range(20), items: range = range(10)) -> Rows:
    """Twenty users go through ten items, one an hour; prices are 1 to 10, and some use a watch."""
    return [
        {
            "user_id": f"u{u}",
            "item_id": f"i{i}",
            "timestamp": 3600 * place + u,
            "device": "watch" if u < watches else "phone",
            "price": factor * (place + 1),
        }
        for u in users
        for place, i in enumerate(items)
    ]


def after(folder: Path, schema: Schema, first: Rows, second: Rows, **settings: object) -> Prepared:
    """A dataset, and then another in its place."""
    items = [{"item_id": f"i{i}", "brand": "b"} for i in range(10)]
    prepare(folder, schema, interactions=first, items=items, num_shards=1)
    return prepare(folder, schema, interactions=second, items=items, num_shards=1, **settings)


def test_the_same_data_does_not_drift(tmp_path: Path, plain_schema: Schema) -> None:
    # Another order of the rows is another file, so that there is something to do.
    drift = after(tmp_path, plain_schema, rows(), rows()[::-1]).manifest.metrics["drift"]
    assert set(drift["stability"]) == {"device", "price", "item_id", "brand", "label", HISTORY}
    assert all(value == pytest.approx(0, abs=1e-9) for value in drift["stability"].values())
    assert drift["users"] == {"before": 20, "now": 20, "new": 0, "vanished": 0}
    assert drift["exceeded"] == []


def test_what_moved_is_measured(tmp_path: Path, plain_schema: Schema) -> None:
    second = rows(watches=10, factor=100.0, users=range(5, 20), items=range(1, 12))
    drift = after(tmp_path, plain_schema, rows(), second).manifest.metrics["drift"]
    # All phones before; of the fifteen users left, u5 to u9 have watches now.
    bins = np.array([[200, 0, 0], [110, 55, 0]])
    assert drift["stability"]["device"] == pytest.approx(stability_index(*bins))
    assert drift["stability"]["price"] > 1  # every price is beyond the former ones
    assert drift["stability"]["label"] < 0.001
    assert drift["users"] == {"before": 20, "now": 15, "new": 0, "vanished": pytest.approx(0.25)}
    # The items table still has i0; i10 and i11 are new.
    assert drift["items"] == {"before": 10, "now": 12, "new": pytest.approx(1 / 6), "vanished": 0}
    total = sum(split["now"] for split in drift["splits"].values())
    assert (total, sum(split["before"] for split in drift["splits"].values())) == (165, 200)


@pytest.mark.slow
def test_texts_and_hashed_values_are_compared_by_their_words(tmp_path: Path) -> None:
    schema = Schema(
        query=(IdFeature(name="user_id"), CategoricalFeature(name="device", encoding="hash")),
        candidate=(
            IdFeature(name="item_id"),
            TextFeature(name="brand"),
            MultiValuedFeature(name="tags", encoding="hash"),
        ),
    )
    items = [{"item_id": f"i{i}", "brand": f"Red Shoes no. {i}", "tags": "a|b"} for i in range(10)]
    others = [item | {"brand": item["brand"].replace("Red", "blue")} for item in items]
    prepare(tmp_path, schema, interactions=rows(), items=items, num_shards=1)
    drift = prepare(tmp_path, schema, interactions=rows(watches=20), items=others, num_shards=1).manifest.metrics[
        "drift"
    ]
    # All devices are watches now; of the four words of each brand one is another; the tags are as they were.
    bins = np.zeros((2, 65))
    bins[0, 0], bins[1, 1] = 200, 200
    assert drift["stability"]["device"] == pytest.approx(stability_index(*bins))
    assert 0.25 < drift["stability"]["brand"] < drift["stability"]["device"]
    assert drift["stability"]["tags"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (DriftConfig(max_stability_index=0.25), ["stability index of price", "max_stability_index 0.25"]),
        (DriftConfig(max_vanished_users=0.2), ["vanished users 25.0% > max_vanished_users 0.2"]),
        (DriftConfig(max_new_items=0.05), ["new items 16.7% > max_new_items 0.05"]),
        (DriftConfig(max_split_change=0.1), ["events of train", "max_split_change 0.1"]),
    ],
)
def test_beyond_a_limit_the_run_fails_and_the_former_dataset_stays(
    tmp_path: Path, plain_schema: Schema, limits: DriftConfig, words: list[str]
) -> None:
    items = [{"item_id": f"i{i}", "brand": "b"} for i in range(10)]
    former = prepare(tmp_path, plain_schema, interactions=rows(), items=items, num_shards=1)
    content = (former.digests(), former.dataset.manifest.read_text())
    second = rows(watches=10, factor=100.0, users=range(5, 20), items=range(1, 12))
    with pytest.raises(RecstackError) as caught:
        prepare(tmp_path, plain_schema, interactions=second, items=items, num_shards=1, drift=limits)
    assert caught.value.exit_code == 1
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert (former.digests(), former.dataset.manifest.read_text()) == content
    assert {path.name for path in tmp_path.iterdir()} == {"interactions.parquet", "items.parquet", "dataset"}


@pytest.mark.slow
def test_the_report_of_a_refused_dataset_says_why_and_goes_when_one_is_published(
    tmp_path: Path, plain_schema: Schema
) -> None:
    limits, second = DriftConfig(max_stability_index=0.25), rows(factor=100.0)
    with pytest.raises(RecstackError, match=r"dataset-refused\.html"):
        after(tmp_path, plain_schema, rows(), second, drift=limits, report=True)
    refused = tmp_path / "dataset-refused.html"
    assert "stability index of price" in refused.read_text()
    published = after(tmp_path, plain_schema, rows(), second, report=True)
    assert not refused.exists()
    assert "another distribution" in published.dataset.report.read_text()


def test_another_limit_alone_is_nothing_to_do(tmp_path: Path, ids_only: Schema) -> None:
    prepare(tmp_path, ids_only, interactions=rows(), num_shards=1)
    source = TableSource(path=str(tmp_path / "interactions.parquet"))
    config = PipelineConfig(interactions=source, num_shards=1, report=False, drift=DriftConfig(max_new_users=0.5))
    assert prepare_dataset(ids_only, config, DatasetLayout(tmp_path / "dataset"), seed=1).nothing_to_do
