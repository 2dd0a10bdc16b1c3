from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ragged import ragged as ragged_rows
from trainer.metrics.protocol import EvaluationSet, Interactions, Ragged

lists = st.lists(st.lists(st.integers(-1, 5), max_size=6), max_size=6)


def as_lists(ragged: Ragged) -> list[list[int]]:
    return [
        ragged.values[start:stop].tolist() for start, stop in zip(ragged.indptr[:-1], ragged.indptr[1:], strict=True)
    ]


@given(lists)
def test_ragged_gives_back_its_lists(rows: list[list[int]]) -> None:
    ragged = ragged_rows(rows)
    assert as_lists(ragged) == rows
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    assert ragged.row_of_value.tolist() == [index for index, row in enumerate(rows) for _ in row]


@given(lists, st.integers(0, 6), st.integers(0, 6))
def test_ragged_slices_like_a_list(rows: list[list[int]], start: int, length: int) -> None:
    start = min(start, len(rows))
    assert as_lists(ragged_rows(rows).slice(start, start + length)) == rows[start : start + length]


@given(lists, st.data())
def test_ragged_takes_rows_in_the_given_order(rows: list[list[int]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8)) if rows else []
    taken = ragged_rows(rows).take(np.array(chosen, dtype=np.int64))
    assert as_lists(taken) == [rows[index] for index in chosen]


def test_among_keeps_what_is_in_some_rows_by_its_place_there() -> None:
    assert as_lists(ragged_rows([[7, 2, 9], [], [2, 4]]).among(np.array([2, 7, 8]))) == [[1, 0], [], [0]]


@given(lists)
def test_distinct_keeps_each_known_value_once_and_every_unknown(rows: list[list[int]]) -> None:
    expected = [[-1] * row.count(-1) + sorted({value for value in row if value >= 0}) for row in rows]
    assert as_lists(ragged_rows(rows).distinct()) == expected


@pytest.mark.parametrize(("indptr", "values"), [([1, 2], [5]), ([0, 2], [5]), ([0, 2, 1], [5]), ([], [])])
def test_ragged_refuses_bounds_that_do_not_fit(indptr: list[int], values: list[int]) -> None:
    with pytest.raises(ValueError, match="indptr"):
        Ragged(np.array(indptr, dtype=np.int64), np.array(values, dtype=np.int64))


def test_interactions_are_sorted_stably_by_user_and_time() -> None:
    events = Interactions.from_events(
        np.array([1, 0, 1, 1]), np.array([3, 1, 2, 0]), np.array([7, 9, 7, 5]), num_users=2, num_items=4
    )
    assert events.user_rows.tolist() == [0, 1, 1, 1]
    assert events.item_rows.tolist() == [1, 0, 3, 2]
    assert events.timestamps.tolist() == [9, 5, 7, 7]


def test_interactions_sum_weights_in_the_matrix_and_count_events_in_popularity() -> None:
    events = Interactions.from_events(
        np.array([0, 0, 1]),
        np.array([2, 2, 0]),
        np.zeros(3, np.int64),
        weights=np.array([1.5, 2.0, 4.0], dtype=np.float32),
        num_users=2,
        num_items=3,
    )
    np.testing.assert_array_equal(events.matrix.toarray(), [[0, 0, 3.5], [4, 0, 0]])
    np.testing.assert_array_equal(events.binary_matrix.toarray(), [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(events.popularity, [1, 0, 2])


def test_interactions_refuse_rows_outside_the_catalogue() -> None:
    with pytest.raises(ValueError, match=r"item_rows must lie in 0 … 3, found 4 … 4"):
        Interactions.from_events(np.array([0]), np.array([4]), np.array([0]), num_users=1, num_items=4)


def valid() -> dict[str, Any]:
    history = ragged_rows([[0, 1, 0], [], [2, 3]])
    return {
        "user_rows": np.array([4, -1, 0]),
        "history": history,
        "history_timestamps": np.arange(5),
        "seen": history,
        "targets": ragged_rows([[3, -1, -1], [0], [1]]),
        "num_items": 4,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_rows": np.array([4, -1])}, "one row a query"),
        ({"history_timestamps": np.arange(4)}, "history_timestamps"),
        ({"num_items": 3}, "history must lie in"),
        ({"targets": ragged_rows([[3], [], [1]])}, "at least one target"),
        ({"targets": ragged_rows([[3, 3], [0], [1]])}, "each item once"),
        ({"targets": ragged_rows([[-2], [0], [1]])}, "targets must lie in"),
        ({"seen": ragged_rows([[-1], [], []])}, "seen must lie in"),
    ],
)
def test_evaluation_set_refuses_what_does_not_fit(change: dict[str, Any], message: str) -> None:
    EvaluationSet(**valid())
    with pytest.raises(ValueError, match=message):
        EvaluationSet(**valid() | change)


def test_evaluation_set_slices_every_field() -> None:
    part = EvaluationSet(**valid()).slice(1, 9)
    assert part.user_rows.tolist() == [-1, 0]
    assert as_lists(part.history) == as_lists(part.seen) == [[], [2, 3]]
    assert part.history_timestamps.tolist() == [3, 4]
    assert as_lists(part.targets) == [[0], [1]]


@pytest.mark.parametrize(
    ("targets", "share"),
    [([[3], [0], [1]], 0), ([[0], [0], [3]], 2 / 3), ([[1, 0, -1], [3], [2, 0]], 3 / 6), ([[-1], [-1], [-1]], 0)],
)
def test_share_of_seen_targets_counts_those_of_the_same_query(targets: list[list[int]], share: float) -> None:
    queries = EvaluationSet(**valid() | {"targets": ragged_rows(targets)})
    assert queries.share_of_seen_targets() == pytest.approx(share)
    assert queries.slice(0, 0).share_of_seen_targets() == 0


def test_history_matrix_weighs_steps_back_from_the_newest_occurrence() -> None:
    matrix = EvaluationSet(**valid()).history_matrix(decay=0.5)
    np.testing.assert_array_equal(matrix.toarray(), [[1, 0.5, 0, 0], [0, 0, 0, 0], [0, 0, 0.5, 1]])
