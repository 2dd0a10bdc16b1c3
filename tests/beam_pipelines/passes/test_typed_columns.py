from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from beam_pipelines.config import TableSource
from beam_pipelines.passes.typed_columns import validate
from beam_pipelines.sources.contract import RawBatch
from beam_pipelines.sources.tables import Column, ReadKind, Table
from features.errors import InputError


def convert(kind: ReadKind, array: pa.Array, **source: str) -> tuple[list, list[tuple[int, str]]]:
    """Good values, and row and reason of the refused ones."""
    column = Column(name="ours", source="theirs", kind=kind, separator="|", length=2)
    table = Table(
        name="users", source=TableSource(path="t", **source), columns=(column,), key="ours", event_types=("buy", "view")
    )
    raw = RawBatch(pa.RecordBatch.from_arrays([array], ["theirs"]), np.arange(1, len(array) + 1))
    good, bad = validate(table, "file", raw)
    return good.column("ours").to_pylist(), [(r["row"], r["reason"]) for r in bad.to_pylist()]


def test_ids_of_any_type_become_texts() -> None:
    assert convert("id", pa.array([1, -2], pa.int32())) == (["1", "-2"], [])
    assert convert("id", pa.array([3.0, float("nan"), 2.5, None])) == (
        ["3"],
        [(2, "ours is missing"), (4, "ours is missing"), (3, "ours is not a whole number")],
    )
    assert convert("id", pa.array(["a", "", None, "b\nc", "d\r"])) == (
        ["a"],
        [
            (2, "ours is missing"),
            (3, "ours is missing"),
            (4, "ours holds a line break"),
            (5, "ours holds a line break"),
        ],
    )
    assert convert("id", pa.array(["x", "y", "x"]).dictionary_encode()) == (["x", "y", "x"], [])
    assert convert("id", pa.array([b"x", b"\xff"])) == (["x"], [(2, "ours is not UTF-8")])
    assert convert("id", pa.array([Decimal("2.00"), Decimal("1.50")])) == (["2"], [(2, "ours is not a whole number")])


def test_tokens_may_be_missing_but_hold_no_line_break() -> None:
    assert convert("token", pa.array(["a", None, "b\nc"])) == (["a", ""], [(3, "ours holds a line break")])
    assert convert("token", pa.array([1.0, None, 0.5])) == (["1", "", "0.5"], [])
    assert convert("text", pa.array(["a\nb", None])) == (["a\nb", ""], [])


def test_numbers_are_finite_or_missing() -> None:
    values, refused = convert("number", pa.array(["1.5", " 2 ", "-3e2", "", "NA", "nan", None, "1,5", "inf", "1e99"]))
    np.testing.assert_array_equal(values, [1.5, 2, -300, *[np.nan] * 4])
    assert refused == [
        (8, "ours has a comma that may be a decimal mark (set `decimal`)"),
        (9, "ours is not a number"),
        (10, "ours is not finite"),
    ]
    values, refused = convert("number", pa.array([1, None], pa.int64()))
    np.testing.assert_array_equal(values, [1, np.nan])
    assert convert("number", pa.array([float("-inf"), 1e300]))[1] == [
        (1, "ours is not finite"),
        (2, "ours is not finite"),
    ]


def test_a_rating_must_be_there() -> None:
    assert convert("rating", pa.array([4.5, None, float("nan")])) == (
        [4.5],
        [(2, "ours is missing"), (3, "ours is missing")],
    )


def test_an_event_type_must_have_a_weight() -> None:
    assert convert("event_type", pa.array(["buy", "view", "return", None])) == (
        ["buy", "view"],
        [(4, "ours is missing"), (3, "ours has no weight in event_weights")],
    )


def test_lists_come_from_lists_or_from_cut_texts_without_empty_entries() -> None:
    assert convert("list", pa.array(["a|b", "", None, "|c|"])) == ([["a", "b"], [], [], ["c"]], [])
    assert convert("list", pa.array([["a", None, "b"], None, [""]])) == ([["a", "b"], [], []], [])
    assert convert("list", pa.array([[1, 2], [3]])) == ([["1", "2"], ["3"]], [])
    assert convert("list", pa.array([["a"], ["b", "c\nd"]])) == ([["a"]], [(2, "ours holds a line break")])
    sliced = pa.array([["skipped"], ["a", ""], ["b"]]).slice(1)
    assert convert("list", sliced) == ([["a"], ["b"]], [])


def test_vectors_come_from_lists_of_any_number_or_from_texts() -> None:
    kinds = (pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 2), pa.list_(pa.int8()))
    for kind in kinds:
        assert convert("vector", pa.array([[1, -2], None, [3, 4]], kind)) == ([[1, -2], [], [3, 4]], []), kind
    texts = pa.array(["0.5 -2", "[0.5, -2]", "(5e-1;-2.)", "", None, " [] "])
    assert convert("vector", texts) == ([[0.5, -2]] * 3 + [[]] * 3, [])
    assert convert("vector", pa.array([[9, 9], [1, 2], []]).slice(1)) == ([[1, 2], []], [])


def test_a_vector_of_another_length_or_with_what_is_no_number_is_refused() -> None:
    wrong, odd = "ours has not the 2 components of its feature", "ours holds what is no finite number"
    nan, inf = float("nan"), float("inf")
    lists = pa.array([[1, 2], [1], [1, 2, 3], [nan, 1], [1, inf], [1e300, 1], [None, 1]])
    expected = [(2, wrong), (3, wrong), *((row, odd) for row in (4, 5, 6, 7))]
    assert convert("vector", lists) == ([[1, 2]], expected)
    assert convert("vector", pa.array(["1 2", "1 2 3", "1 x", "nan 1"])) == ([[1, 2]], [(2, wrong), (3, odd), (4, odd)])


@pytest.mark.parametrize("values", [[[[1.0, 2.0]]], [1.5], [{"a": 1}]])
def test_a_column_that_holds_no_vectors_is_told(values: list) -> None:
    with pytest.raises(InputError, match=r"column 'theirs' is of type .* from which no vector can be made"):
        convert("vector", pa.array(values))


def test_times_lie_between_1970_and_2099() -> None:
    assert convert("time", pa.array([0, 4102444799, 4102444800, -1, None])) == (
        [0, 4102444799],
        [
            (5, "ours is missing"),
            (3, "ours is not between the years 1970 and 2099"),
            (4, "ours is not between the years 1970 and 2099"),
        ],
    )
    reason = "ours is not a time of format 'iso8601'"
    assert convert("time", pa.array(["1970-01-02", "soon", ""]), timestamp_format="iso8601") == (
        [86400],
        [(3, "ours is missing"), (2, reason)],
    )


@pytest.mark.parametrize("kind", ["id", "number", "time", "token", "rating"])
def test_a_type_that_no_row_can_be_read_from_is_told(kind: ReadKind) -> None:
    with pytest.raises(InputError, match=r"table users: column 'theirs' is of type struct.* from which no"):
        convert(kind, pa.array([{"a": 1}]))


def test_a_reject_names_its_origin_and_shows_the_value() -> None:
    column = Column(name="ours", source="theirs", kind="id")
    table = Table(name="items", source=TableSource(path="t"), columns=(column,), key="ours")
    raw = RawBatch(pa.RecordBatch.from_arrays([pa.array(["x\n" * 200])], ["theirs"]), np.array([17]))
    _, bad = validate(table, "logs/a.csv", raw)
    assert bad.to_pylist() == [
        {
            "reason": "ours holds a line break",
            "table": "items",
            "file": "logs/a.csv",
            "row": 17,
            "column": "theirs",
            "value": "x\n" * 100,
        }
    ]
