"""Lists of earlier clicks become events before the user's first row."""

import pyarrow as pa
import pytest

from beam_pipelines.passes.earlier_events import with_earlier_events
from beam_pipelines.sources.tables import EARLIER_ITEMS, EVENT_TYPE
from features.schema import Schema

_FIRST = 1_700_000_000


def rows(lists: list[list[str]] | None, users: list[str], times: list[int]) -> pa.Table:
    columns = {
        "user_id": users,
        "item_id": [f"shown {n}" for n in range(len(users))],
        "timestamp": pa.array(times, pa.int64()),
        EVENT_TYPE: ["0"] * len(users),
        "device": ["phone"] * len(users),
        "price": pa.array([1.5] * len(users), pa.float32()),
        "colours": pa.array([["red"]] * len(users), pa.list_(pa.string())),
    }
    if lists is not None:
        columns[EARLIER_ITEMS] = pa.array(lists, pa.list_(pa.string()))
    return pa.table(columns)


def test_the_list_of_the_first_row_counts_and_lies_before_it(ids_only: Schema) -> None:
    lists = [["late"], ["a", "b", "c"], [], ["x"], []]
    users, times = ["u", "u", "u", "v", "w"], [_FIRST + 9, _FIRST, _FIRST, _FIRST + 5, _FIRST]
    found = with_earlier_events(rows(lists, users, times), ids_only)
    assert EARLIER_ITEMS not in found.column_names
    assert found.slice(0, 5).equals(rows(None, users, times))
    earlier = found.slice(5).sort_by([("user_id", "ascending"), ("timestamp", "ascending")])
    assert earlier.column("user_id").to_pylist() == ["u", "u", "u", "v"]
    assert earlier.column("item_id").to_pylist() == ["a", "b", "c", "x"]
    assert earlier.column("timestamp").to_pylist() == [_FIRST - 3, _FIRST - 2, _FIRST - 1, _FIRST + 4]
    assert set(earlier.column(EVENT_TYPE).to_pylist()) == {"1"}


def test_nothing_else_is_known_of_earlier_events(ids_only: Schema) -> None:
    earlier = with_earlier_events(rows([["a"]], ["u"], [_FIRST]), ids_only).slice(1)
    assert earlier.column("device").to_pylist() == [""]
    assert earlier.column("colours").to_pylist() == [[]]
    assert earlier.column("price").to_pylist() == pytest.approx([float("nan")], nan_ok=True)


def test_rows_without_lists_stay_as_they_are(ids_only: Schema) -> None:
    table = rows(None, ["u", "v"], [_FIRST, _FIRST])
    assert with_earlier_events(table, ids_only) is table
    assert with_earlier_events(rows([[], []], ["u", "v"], [_FIRST, _FIRST]), ids_only).equals(table)
