"""Lists of shown items become one row an item, and nothing of a list is lost uncounted."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.config import TableSource
from beam_pipelines.sources import files
from beam_pipelines.sources.contract import RawBatch
from beam_pipelines.sources.shown_items import CLICKED, lists_shown_items, one_row_an_item
from beam_pipelines.sources.tables import Column, Table

ENTRY = st.tuples(st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True), st.sampled_from("01"))
LISTS = st.lists(st.lists(ENTRY, min_size=1, max_size=5), min_size=1, max_size=6)


def batch(texts: list[str]) -> RawBatch:
    columns = pa.RecordBatch.from_pydict({"user": [f"u{n}" for n in range(len(texts))], "shown": texts})
    return RawBatch(columns, np.arange(1, len(texts) + 1))


@given(lists=LISTS, separator=st.sampled_from([" ", ",", ", ", ";", "|"]))
def test_each_entry_is_a_row_beside_the_other_columns(lists: list[list[tuple[str, str]]], separator: str) -> None:
    found = one_row_an_item(batch([separator.join(f"{i}-{c}" for i, c in one) for one in lists]), "shown")
    expected = [
        {"user": f"u{n}", "shown": item, CLICKED: clicked} for n, one in enumerate(lists) for item, clicked in one
    ]
    assert found.columns.to_pylist() == expected
    assert found.rows.tolist() == [n + 1 for n, one in enumerate(lists) for _ in one]
    assert found.malformed == []


def test_an_entry_that_is_none_is_refused_and_an_empty_list_has_no_item() -> None:
    found = one_row_an_item(batch(["a-1 b c-0", "", "d-2"]), "shown")
    assert [(row["shown"], row[CLICKED]) for row in found.columns.to_pylist()] == [("a", "1"), ("c", "0"), (None, "0")]
    assert [(row, text) for row, _, text in found.malformed] == [(1, "b"), (3, "d-2")]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a-1 b-0", "c-0 d-1"], True),
        (["a-1", "b-0"], False),  # one item each: as well a code
        (["a b", "c d"], False),
        (["2023-11-14 2023-11-15"], False),
    ],
)
def test_only_lists_with_clicks_are_taken_for_shown_items(values: list[str], expected: bool) -> None:
    assert lists_shown_items(pa.array(values)) == expected


def test_a_file_is_read_with_the_column_that_is_added(tmp_path: Path) -> None:
    path = tmp_path / "log.tsv"
    path.write_text("user\tshown\nu1\ta-1 b-0\nu2\tc-0\n")
    source = TableSource(path=str(path), shown_items="shown")
    columns = tuple(Column(name=name, source=name, kind="text") for name in ("shown", CLICKED))
    table = Table(name="interactions", source=source, columns=columns, key="")
    (unit,) = files.units(table, files.find(table))
    assert files.column_names(table, unit) == ["user", "shown", CLICKED]
    rows = [tuple(map(_text, row.values())) for raw in files.read(table, unit) for row in raw.columns.to_pylist()]
    assert rows == [("a", "1"), ("b", "0"), ("c", "0")]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
