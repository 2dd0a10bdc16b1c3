"""What a data frame writes as JSON is read as its rows, whatever the orientation."""

import json
from pathlib import Path

import pandas as pd
import pytest

from beam_pipelines.sources.json_tables import rows_of
from tests.beam_pipelines.sources.text_tables import read

_TABLE = pd.DataFrame({"user": [f"u{n % 7}" for n in range(40)], "item": [f"i{n}" for n in range(40)]})


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("orient", ["columns", "index", "split", "records", "table"])
def test_every_orientation_gives_the_rows(tmp_path: Path, orient: str, indent: int | None) -> None:
    path = tmp_path / "t.json"
    _TABLE.to_json(path, orient=orient, indent=indent)
    assert read(path, ["user", "item"]).rows == _TABLE.to_numpy().tolist()


def test_columns_of_lists_and_objects_by_key_are_tables_too(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(_TABLE.to_dict(orient="list")))
    assert read(path, ["user", "item"]).rows == _TABLE.to_numpy().tolist()
    path.write_text(json.dumps({row.item: {"title": f"title {row.item}"} for row in _TABLE.itertuples()}))
    assert read(path, ["key", "title"]).rows == [[item, f"title {item}"] for item in _TABLE.item]


@pytest.mark.parametrize(
    "row",
    [
        {"user": "u1", "item": "i1"},
        {"user": {"id": 1, "age": 2}, "item": {"id": 3, "age": 4}},
        {"user": "u1", "genres": ["a", "b"], "tags": ["c", "d"]},
        {"user": {f"feature {n}": n for n in range(20)}, "item": {"id": 1}},
    ],
)
def test_one_row_stays_one_row(row: dict[str, object]) -> None:
    assert rows_of(row) is None
