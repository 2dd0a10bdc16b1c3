from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.ragged import ragged as ragged_rows
from trainer.metrics.protocol import EvaluationSet
from trainer.metrics.slices import item_slices, quarters, query_slices, slices_by_value


def test_query_slices_by_history_and_unknown_user() -> None:
    lengths = [0, 1, 4, 5, 19, 20, 50]
    history = ragged_rows([[0] * length for length in lengths])
    queries = EvaluationSet(
        user_rows=np.array([-1, 0, 1, 2, 3, 4, -1]),
        history=history,
        history_timestamps=np.zeros_like(history.values),
        seen=history,
        targets=ragged_rows([[0]] * len(lengths)),
        num_items=1,
    )
    chosen = {name: np.flatnonzero(mask).tolist() for name, mask in query_slices(queries).items()}
    assert chosen == {
        "user: unknown": [0, 6],
        "history: 0": [0],
        "history: 1-4": [1, 2],
        "history: 5-19": [3, 4],
        "history: 20-49": [5],
        "history: 50 or more": [6],
    }


def test_head_middle_and_tail_take_a_third_of_the_events_each() -> None:
    chosen = {name: np.flatnonzero(mask).tolist() for name, mask in item_slices(np.array([1, 6, 0, 3, 3, 5])).items()}
    assert chosen == {"item: head": [1], "item: middle": [3, 5], "item: tail": [0, 4], "item: cold": [2]}


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30))
def test_each_item_is_in_one_slice(popularity: list[int]) -> None:
    membership = np.sum(list(item_slices(np.array(popularity)).values()), axis=0)
    assert (membership == 1).all()


def test_slices_by_value_take_the_most_frequent_values() -> None:
    slices = slices_by_value("country", [["NO"], ["DE"], ["DE"], ["FR"], ["FR"], ["FR"]], limit=2)
    assert {name: np.flatnonzero(mask).tolist() for name, mask in slices.items()} == {
        "country: FR": [3, 4, 5],
        "country: DE": [1, 2],
    }


def test_an_item_of_several_values_is_in_several_slices() -> None:
    slices = slices_by_value("genres", [["war", "drama"], ["drama"], []])
    assert {name: mask.tolist() for name, mask in slices.items()} == {
        "genres: drama": [True, True, False],
        "genres: war": [True, False, False],
    }


def test_quarters_hold_equally_many_numbers() -> None:
    names = quarters(np.array([8.0, 1.0, np.nan, 2.0, 7.0, 3.0, 4.0, 5.0, 6.0]))
    assert names[2] == []
    assert sorted(Counter(name for (name,) in (row for row in names if row)).values()) == [2, 2, 2, 2]
    assert names[1] == names[3] == ["1 to 2.75"]


def test_quarters_of_one_number_are_that_number() -> None:
    assert quarters(np.array([3.0, 3.0])) == [["3"], ["3"]]
    assert quarters(np.array([np.nan])) == [[]]
