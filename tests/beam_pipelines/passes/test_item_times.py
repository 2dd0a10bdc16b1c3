"""The counter of an item as of an example's time, against counting by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.config import LabelConfig, NegativesConfig, SplitConfig
from beam_pipelines.passes.item_times import ItemTimes
from features.disk.layout import SPLITS
from features.schema import Schema
from tests.beam_pipelines.conftest import prepare

_EVENTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.integers(0, 2)), min_size=1, max_size=20)


@settings(deadline=None)
@given(_EVENTS, st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 21)), min_size=1, max_size=8))
def test_counts_what_was_strictly_before_in_splits_up_to_its_own(
    events: list[tuple[str, int, int]], asked: list[tuple[str, int]]
) -> None:
    names = sorted({item for item, _, _ in events})
    rows = sorted((names.index(item), time, split) for item, time, split in events)
    keys = np.array([(code << 32) + time for code, time, _ in rows], np.int64)
    times = ItemTimes(pa.array(names), keys, np.array([split for _, _, split in rows], np.int8))
    items = pa.array([item for item, _ in asked]).dictionary_encode()
    for place in range(3):
        found = times.before(items, np.array([time for _, time in asked]), place)
        expected = [sum(i == item and t < time and s <= place for i, t, s in events) for item, time in asked]
        assert found.tolist() == expected
    assert times.totals(pa.array(["a", "d"])).to_pylist() == [sum(i == "a" for i, _, _ in events), 0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["global_time", "leave_last_out"])
def test_records_hold_the_counters_of_logged_and_sampled_items(tmp_path: Path, ids_only: Schema, kind: str) -> None:
    rng = np.random.default_rng(1)
    rows = [
        {"user_id": f"u{u}", "item_id": f"i{rng.integers(6)}", "timestamp": 1000 * n + u // 2, "what": "view"}
        for u in range(8)
        for n in range(10)
    ]
    for row in rows[::7]:
        row["what"] = "shown"
    prepared = prepare(
        tmp_path,
        replace(ids_only, item_events=True),
        interactions=rows,
        label=LabelConfig(event_type_column="what", event_weights={"view": 1.0, "shown": 0.0}),
        negatives=NegativesConfig(kind="uniform", per_positive=2),
        split=SplitConfig(kind=kind, validation=0.2, test=0.2),
        num_shards=2,
    )
    # Where each positive interaction was: its own split's targets.
    logged = {}
    for place, split in enumerate(SPLITS):
        for record in prepared.retrieval()[split]:
            [cut] = record["num_context"]
            user = record["user_id"][0]
            for item, second in zip(record["item_id"][cut:], record["timestamp"][cut:], strict=True):
                logged[user, item, second] = place
    checked = 0
    for place, split in enumerate(SPLITS):
        for record in prepared.ranking()[split]:
            events = zip(record["item_id"], record["timestamp"], record["item_events"], strict=True)
            for item, second, count in list(events)[record["num_context"][0] :]:
                assert count == sum(i == item and t < second and s <= place for (_, i, t), s in logged.items())
                checked += 1
    assert checked > 100
    for candidate in prepared.candidates():
        assert candidate["item_events"] == [sum(i == candidate["item_id"][0] for _, i, _ in logged)]


def test_without_the_switch_there_are_none(tmp_path: Path, ids_only: Schema) -> None:
    rows = [{"user_id": "u", "item_id": f"i{n}", "timestamp": n} for n in range(10)]
    prepared = prepare(tmp_path, ids_only, interactions=rows, num_shards=1)
    assert "item_events" not in prepared.ranking()["train"][0]
    assert "item_events" not in prepared.candidates()[0]
