from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_pipelines.config import LabelConfig, PipelineConfig, SplitConfig
from beam_pipelines.passes.ingest import NUM_BUCKETS, Chunk, assign_buckets, bucket_of
from beam_pipelines.passes.labels import label_events
from beam_pipelines.passes.sorted_events import SortedEvents, load_sorted_events
from beam_pipelines.passes.sorting import SortTask, sort_partition
from beam_pipelines.passes.splits import TEST, TRAIN, VALIDATION, TimeCuts, assign_splits, time_cuts, within_fold
from beam_pipelines.passes.time_histogram import TimeHistogram
from beam_pipelines.sources.tables import EVENT_TYPE, RATING
from beam_pipelines.workspace import Workspace, write_arrow
from features.schema import Schema
from features.spec.tasks import DEFAULT_TASKS

_ROW = st.tuples(st.sampled_from("abc"), st.sampled_from(["i", "j", "ü", "z"]), st.integers(0, 3), st.integers(0, 1))


def chunk(path: Path, table: pa.Table) -> Chunk:
    """A chunk whose rows are all in bucket 0."""
    write_arrow(path, table)
    return Chunk(path=str(path), bucket_rows=(table.num_rows,) + (0,) * (NUM_BUCKETS - 1))


def table_of(rows: list[tuple[str, str, int, int]]) -> pa.Table:
    users, items, times, ratings = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.table(
        {
            "user_id": pa.array(users, pa.string()),
            "item_id": pa.array(items, pa.string()),
            "timestamp": pa.array(times, pa.int64()),
            RATING: pa.array(ratings, pa.float32()),
        }
    )


def as_rows(events: SortedEvents) -> list[tuple[str, str, int, int]]:
    users = [events.users.column("user_id")[int(u)].as_py() for u in events.user_index]
    columns = [events.table.column(name).to_pylist() for name in ("item_id", "timestamp", RATING)]
    return list(zip(users, *columns, strict=True))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(_ROW, max_size=30), st.randoms())
def test_events_come_sorted_and_once_whatever_order_they_were_read_in(tmp_path, ids_only, rows, random) -> None:
    shuffled = random.sample(rows, len(rows))
    cut = len(rows) // 2
    chunks = [chunk(tmp_path / "a", table_of(shuffled[:cut])), chunk(tmp_path / "b", table_of(shuffled[cut:]))]
    workspace = Workspace(tmp_path)
    task = SortTask(partition=0, buckets=(0,))
    report = sort_partition(
        task, schema=ids_only, config=PipelineConfig(), events=chunks, users=[], workspace=workspace
    )
    expected = sorted(set(rows), key=lambda row: (row[0], row[2], row[1].encode(), row[3]))
    assert as_rows(load_sorted_events(workspace, 0)) == expected
    assert report.duplicates == len(rows) - len(expected)
    assert TimeHistogram.read(workspace.times(0)) == TimeHistogram.of(np.array([row[2] for row in expected], np.int64))


def test_users_get_their_features_or_missing_ones(tmp_path: Path, ids_only: Schema) -> None:
    users = pa.table(
        {
            "user_id": ["b", "a", "b"],
            "country": ["old", "de", "new"],
            "age": pa.array([1.0, 2.0, 3.0], pa.float32()),
        }
    )
    events = chunk(tmp_path / "e", table_of([("c", "i", 0, 0), ("b", "i", 0, 0), ("a", "i", 0, 0)]))
    workspace = Workspace(tmp_path)
    report = sort_partition(
        SortTask(partition=3, buckets=(0,)),
        schema=ids_only,
        config=PipelineConfig(),
        events=[events],
        users=[chunk(tmp_path / "u", users)],
        workspace=workspace,
    )
    found = load_sorted_events(workspace, 3).users.to_pydict()
    assert (found["user_id"], found["country"]) == (["a", "b", "c"], ["de", "new", ""])
    np.testing.assert_array_equal(found["age"], [2.0, 3.0, np.nan])
    assert report.user_duplicates == 1


@given(st.lists(st.text(max_size=3), max_size=30))
def test_a_key_s_bucket_does_not_depend_on_its_neighbours(keys: list[str]) -> None:
    together = bucket_of(pa.array(keys, pa.string())).tolist()
    assert together == [int(bucket_of(pa.array([key]))[0]) for key in keys]
    assert all(0 <= bucket < NUM_BUCKETS for bucket in together)


@given(st.lists(st.integers(0, 100), min_size=50, max_size=80), st.integers(1, 5))
def test_buckets_are_dealt_once_and_evenly(sizes: list[int], partitions: int) -> None:
    dealt = assign_buckets(np.array(sizes), partitions)
    assert sorted(bucket for part in dealt for bucket in part) == list(range(len(sizes)))
    loads = [sum(sizes[bucket] for bucket in part) for part in dealt]
    assert max(loads) - min(loads) <= max(sizes)


def events_of_users(*sizes: int, **columns: list) -> SortedEvents:
    """Users with so many events, one a second."""
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return SortedEvents(pa.table({"user_id": [str(n) for n in range(len(sizes))]}), starts, pa.table(columns))


def splits(events: SortedEvents, positive: list[bool], kind: str, **shares: float) -> list[int]:
    config = SplitConfig(kind=kind, **shares)
    times = np.concatenate([np.arange(n) for n in np.diff(events.starts)])
    cuts = time_cuts(TimeHistogram.of(times), config)
    return assign_splits(events, np.array(positive), times, config=config, cuts=cuts).tolist()


def test_leave_last_out_takes_the_last_two_positive_events_of_each_user() -> None:
    events = events_of_users(4, 2, 1, 5)
    positive = [True] * 4 + [True] * 2 + [True] + [True, True, False, True, False]
    found = splits(events, positive, "leave_last_out")
    assert found[:4] == [TRAIN, TRAIN, VALIDATION, TEST]
    assert found[4:6] == [TRAIN, TEST]
    assert found[6:7] == [TRAIN]
    assert found[7:] == [TRAIN, VALIDATION, VALIDATION, TEST, TEST]


def test_a_fraction_of_each_user_s_events_is_held_out() -> None:
    found = splits(events_of_users(10, 5, 2), [True] * 17, "per_user_fraction", validation=0.1, test=0.2)
    assert found == [TRAIN] * 7 + [VALIDATION] + [TEST] * 2 + [TRAIN] * 4 + [TEST] + [TRAIN] * 2


def in_fold(events: SortedEvents, positive: list[bool], config: SplitConfig) -> SortedEvents:
    times = np.concatenate([np.arange(n) for n in np.diff(events.starts)])
    cuts = time_cuts(TimeHistogram.of(times), config)
    return events.filter(within_fold(events, np.array(positive), times, config=config, cuts=cuts))


def test_a_fold_of_each_users_last_events_ends_so_many_earlier() -> None:
    events = events_of_users(4, 2, 1, t=list(range(7)))
    positive = [True, True, False, True, True, True, True]
    # What was not chosen comes before the next choice, so it stays.
    left = in_fold(events, positive, SplitConfig(kind="leave_last_out", fold=1))
    assert left.numpy("t").tolist() == [0, 1, 2, 4]
    assert np.diff(left.starts).tolist() == [3, 1]


@pytest.mark.parametrize("fold", range(5))
def test_parts_of_a_fold_of_shares_are_as_large_as_the_first_ones(fold: int) -> None:
    shares = {"validation": 0.1, "test": 0.15}
    config = SplitConfig(kind="per_user_fraction", fold=fold, **shares)
    left = in_fold(events_of_users(40, 20, t=list(range(60))), [True] * 60, config)
    assert np.diff(left.starts).tolist() == [40 - 6 * fold, 20 - 3 * fold]
    found = splits(left, [True] * len(left.table), "per_user_fraction", fold=fold, **shares)
    assert [found.count(part) for part in (VALIDATION, TEST)] == [4 + 2, 6 + 3]


def test_a_global_split_cuts_at_one_moment() -> None:
    found = splits(events_of_users(10, 6), [True] * 16, "global_time", validation=0.25, test=0.125)
    by_second = dict(zip([*range(10), *range(6)], found, strict=True))
    assert found[10:] == [by_second[second] for second in range(6)]
    # Sixteen events: seconds 8 and 9 are the latest eighth, 5 to 7 (four events) the quarter before.
    assert [by_second[second] for second in range(10)] == [TRAIN] * 5 + [VALIDATION] * 3 + [TEST] * 2


def test_a_share_of_nothing_holds_nothing_out() -> None:
    for kind in ("global_time", "per_user_fraction"):
        assert set(splits(events_of_users(9), [True] * 9, kind, validation=0.0, test=0.0)) == {TRAIN}
    assert time_cuts(TimeHistogram.of(np.array([5])), SplitConfig(validation=0, test=0)) == TimeCuts(
        validation=6, test=6, end=6
    )


def labels(config: LabelConfig, **columns: list) -> list[tuple[float, float, bool]]:
    found = label_events(pa.table(columns), DEFAULT_TASKS, config)
    return list(zip(found.values[:, 0].tolist(), found.weight.tolist(), found.positive.tolist(), strict=True))


def test_every_event_of_a_plain_log_is_positive() -> None:
    assert labels(LabelConfig(), any=[1, 2]) == [(1, 1, True)] * 2


def test_ratings_become_labels_by_threshold_or_stay_as_they_are() -> None:
    ratings = {RATING: [3.5, 4.0, 5.0]}
    assert labels(LabelConfig(rating_column="r"), **ratings) == [(0, 1, True), (1, 1, True), (1, 1, True)]
    assert labels(LabelConfig(rating_column="r", ranking_label="rating", min_positive_rating=5.0), **ratings) == [
        (3.5, 1, False),
        (4.0, 1, False),
        (5.0, 1, True),
    ]


def test_event_types_become_weights_and_weight_0_is_a_negative() -> None:
    config = LabelConfig(event_type_column="t", event_weights={"seen": 0.0, "click": 1.0, "buy": 5.0})
    assert labels(config, **{EVENT_TYPE: ["buy", "seen", "click"]}) == [(1, 5, True), (0, 1, False), (1, 1, True)]


def test_a_fold_moves_the_origin_back_by_whole_test_shares() -> None:
    times = TimeHistogram.of(np.arange(100, 120))
    found = [time_cuts(times, SplitConfig(validation=0.1, test=0.2, fold=fold)) for fold in range(3)]
    assert found == [
        TimeCuts(validation=114, test=116, end=120),
        TimeCuts(validation=110, test=112, end=116),
        TimeCuts(validation=106, test=108, end=112),
    ]
