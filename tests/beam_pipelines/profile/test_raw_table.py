"""Types, cardinalities and missing values are the same whatever format a table is in."""

import json
from pathlib import Path

import pandas as pd
import pytest

from beam_pipelines.config import TableSource
from beam_pipelines.config.source import IdRules
from beam_pipelines.profile.raw_table import TableProfile, profile_table
from beam_pipelines.sources.texts import suggest_id_rules
from features.errors import InputError

ROWS = pd.DataFrame(
    {
        "number": [1, 2, 2, 4],
        "decimal": [1.5, None, 2.5, 2.5],
        "gaps": [1, None, 3, 4],
        "code": ["007", "8", "9", None],
        "flag": [True, False, True, True],
        "text": ["a", "b", "", "a"],
    }
)
KINDS = {
    "number": ("integer", 3, 0.0),
    "decimal": ("number", 2, 0.25),
    "gaps": ("integer", 3, 0.25),
    "code": ("text", 3, 0.25),
    "flag": ("boolean", 2, 0.0),
    "text": ("text", 2, 0.25),
}


def write(folder: Path, ending: str) -> Path:
    path = folder / f"table.{ending}"
    if ending == "parquet":
        ROWS.to_parquet(path)
    elif ending == "csv":
        ROWS.to_csv(path, index=False)
    else:
        records = json.loads(ROWS.to_json(orient="records"))
        path.write_text("\n".join(map(json.dumps, records)))
    return path


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_columns_are_told_alike_in_every_format(tmp_path: Path, ending: str) -> None:
    profile = profile_table("items", TableSource(path=str(write(tmp_path, ending))))
    found = {column.name: (column.kind, column.distinct, column.missing) for column in profile.columns}
    assert found == KINDS
    assert (profile.num_rows, profile.share) == (4, 1.0)


def test_lists_count_their_entries(tmp_path: Path) -> None:
    path = tmp_path / "lists.parquet"
    pd.DataFrame({"tags": [["a", "b"], ["b"], [], None]}).to_parquet(path)
    (tags,) = profile_table("items", TableSource(path=str(path))).columns
    assert (tags.kind, tags.distinct, tags.missing) == ("list", 2, 0.5)


def test_of_a_large_table_parts_from_all_over_are_read(tmp_path: Path) -> None:
    for part in range(8):
        pd.DataFrame({"part": [part] * 100}).to_parquet(tmp_path / f"{part}.parquet")
    profile: TableProfile = profile_table("items", TableSource(path=str(tmp_path / "*.parquet")), max_rows=300)
    assert sorted(set(profile.column("part").values.to_pylist())) == [0, 4, 7]
    assert profile.share == pytest.approx(3 / 8)


def test_an_unknown_column_is_told_beside_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'colour' is missing, the columns are 'number'"):
        profile_table("items", TableSource(path=str(write(tmp_path, "csv")))).column("colour")


def test_an_empty_table_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("a,b\n")
    with pytest.raises(InputError, match="no rows"):
        profile_table("items", TableSource(path=str(path)))


@pytest.mark.parametrize("first", [2**53, 2**62, 10**17])
def test_identifiers_in_text_are_exact_whatever_their_size(tmp_path: Path, first: int) -> None:
    numbers = [first + n for n in range(20)]
    (tmp_path / "t.csv").write_text("id\n" + "".join(f"{n}\n" for n in numbers))
    [column] = profile_table("items", TableSource(path=str(tmp_path / "t.csv"))).columns
    assert (column.kind, column.values.to_pylist()) == ("integer", numbers)
    assert column.ids(TableSource()).to_pylist() == list(map(str, numbers))


@pytest.mark.parametrize(("spelling", "rules"), [(" {}", {"strip": True}), ("{}.0", {"float_suffix": "drop"})])
def test_ids_are_spelt_as_prepare_spells_them(tmp_path: Path, spelling: str, rules: dict) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,x\n" + "".join(f"{spelling.format(n)},{n}\n" for n in range(5)) + "NULL,5\n")
    column = profile_table("items", TableSource(path=str(path))).column("id")
    assert column.kind == "integer"
    assert column.ids(TableSource()).to_pylist() == [*(spelling.format(n) for n in range(5)), None]
    found, reason = suggest_id_rules(column.ids(TableSource()))
    assert (found, bool(reason)) == (IdRules(**rules), True)
    assert column.ids(TableSource(ids=found)).to_pylist() == [*map(str, range(5)), None]


@pytest.mark.parametrize(("mark", "given"), [(",", ""), (".", ""), (",", ",")])
def test_numbers_are_those_of_prepare(tmp_path: Path, mark: str, given: str) -> None:
    (tmp_path / "t.csv").write_text("price;x\n" + "".join(f"{n}{mark}25 €;1\n" for n in range(9)))
    source = TableSource(path=str(tmp_path / "t.csv"), delimiter=";", decimal=given)
    column = profile_table("items", source).column("price")
    assert column.values.to_pylist() == [n + 0.25 for n in range(9)]
    assert column.decimal == ("," if mark == "," else "")


def test_lines_that_are_no_rows_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b\n1,2\n3\n4,"x\ny"\n5,"open\n')
    profile = profile_table("items", TableSource(path=str(tmp_path / "t.csv")))
    assert (profile.num_rows, profile.num_refused, profile.continuation_lines) == (2, 2, 1)
    assert "row 2: 1 fields, 2 expected" in profile.refused[0]
