"""Folds against what they say of each event; leakage would be silent."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from tests.trainer.small_dataset import write_small_dataset
from trainer.cascade.folds import FoldKind, fold_of, taken


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory):
    from features.encoding.schema_encoder import SchemaEncoder
    from tests.trainer.small_dataset import SCHEMA
    from trainer.data.catalogue import load_catalogue
    from trainer.data.events import load_events

    dataset = write_small_dataset(tmp_path_factory.mktemp("folds"))
    encoder = SchemaEncoder(SCHEMA, dataset)
    rows = load_catalogue(dataset, encoder).rows()
    return load_events(dataset.interactions("train"), encoder, rows, records="retrieval")


def test_taking_all_events_changes_nothing(events) -> None:
    same = taken(events, np.ones(len(events), bool))
    for name, value in vars(events).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(same, name), value, err_msg=name)


def test_histories_of_taken_events_hold_taken_events_only(events) -> None:
    keep = np.random.default_rng(1).random(len(events)) < 0.6
    some = taken(events, keep)
    original = np.flatnonzero(keep)
    for event in range(len(some)):
        own = some.history_events[some.history_start[event] : some.history_end[event]]
        place = original[event]
        before = events.history_events[events.history_start[place] : events.history_end[place]]
        np.testing.assert_array_equal(original[own], before[keep[before]])


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("kind", get_args(FoldKind))
def test_what_is_earlier_lies_before_the_window(events, kind: FoldKind, number: int) -> None:
    fold = fold_of(events, kind, gap=0.1, window=0.3, number=number)
    targets = fold.window.targets()
    assert len(targets) > 0
    if kind == "global_time":
        assert fold.earlier.timestamp.max() < fold.window.timestamp[targets].min()
    # Everything before the window is known, and of that the gap alone is not learnt from.
    assert len(fold.known) + len(targets) == len(fold.window)
    assert len(fold.earlier) <= len(fold.known)
    first_target = fold.window.record_splits[:-1] + fold.window.num_context
    for record in range(events.num_records):
        earlier = fold.earlier.timestamp[slice(*fold.earlier.record_splits[record : record + 2])]
        later = fold.window.timestamp[first_target[record] : fold.window.record_splits[record + 1]]
        if len(earlier) and len(later):
            assert earlier.max() < later.min()


def test_each_users_last_moments_are_the_windows_one_by_one(events) -> None:
    for number in (0, 1):
        fold = fold_of(events, "leave_last_out", gap=0.1, window=0.3, number=number)
        targets = fold.window.targets()
        # Each of the 16 users takes four items at four moments.
        np.testing.assert_array_equal(fold.window.timestamp[targets], [1000 * (4 - number)] * 16)
        assert len(fold.earlier) == len(fold.known) == 16 * (3 - number)


def test_the_events_of_one_moment_are_left_out_together(events) -> None:
    at_once = replace(events, timestamp=np.minimum(events.timestamp, 3000))
    fold = fold_of(at_once, "leave_last_out", gap=0.0, window=0.3)
    assert len(fold.window.targets()) == 2 * 16
    assert len(fold.earlier) == 2 * 16


def test_a_gap_is_known_and_not_learnt_from(events) -> None:
    fold = fold_of(events, "per_user_fraction", gap=0.25, window=0.25)
    assert (len(fold.earlier), len(fold.known), len(fold.window.targets())) == (2 * 16, 3 * 16, 16)


def test_windows_of_two_folds_share_no_event(events) -> None:
    def keys(number: int) -> set[tuple[int, int, int]]:
        window = fold_of(events, "per_user_fraction", gap=0.0, window=0.3, number=number).window
        targets = window.targets()
        records = window.record_of_event()[targets]
        return set(zip(records, window.timestamp[targets], window.candidate_row[targets], strict=True))

    assert keys(0)
    assert keys(1)
    assert not keys(0) & keys(1)
